//! Files that are refused: each says why, and none displaces the last good module.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use projectionist::engine::Host;

use crate::support::log::codes;
use crate::support::modules::{bytes_of, with_text};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually, guests, stepped};

/// Larger than a module may be.
const TOO_LARGE_BYTES: u64 = 64 * 1024 * 1024 + 1;

/// Larger than the file beside it may be.
const TOO_LARGE_SETTINGS_BYTES: usize = 64 * 1024 + 1;

/// Guests that are refused for what they are.
const SINNERS: [&str; 5] = [
    "appends_in_projector",
    "bad_id",
    "opens_sockets",
    "traps_in_describe",
    "wrong_world",
];

/// Something that a file can become, and what it is called here.
type Bad = (&'static str, Box<dyn Fn(&Modules, &str) + Send + Sync>);

/// Everything that is refused as soon as it is looked at.
fn bad_files() -> Vec<Bad> {
    let mut bad: Vec<Bad> = vec![
        bytes("garbage", b"This is no module.".to_vec()),
        bytes("empty", Vec::new()),
        bytes("half_written", half_of("records")),
        bytes("core_module", b"\0asm\x01\0\0\0".to_vec()),
        bytes("of_a_newer_interface", of_interface("@0.9.0")),
        bytes("of_an_older_interface", of_interface("@0.0.9")),
        (
            "link",
            Box::new(|modules, file| {
                fs::remove_file(modules.file(file)).ok();
                symlink(guests::path("records"), modules.file(file)).expect("linked");
            }),
        ),
        (
            "directory",
            Box::new(|modules, file| {
                fs::remove_file(modules.file(file)).ok();
                fs::create_dir(modules.file(file)).expect("made");
            }),
        ),
        (
            "too_large",
            Box::new(|modules, file| {
                modules.put_bytes(file, b"");
                let made = fs::File::options().write(true).open(modules.file(file));
                made.and_then(|file| file.set_len(TOO_LARGE_BYTES))
                    .expect("made large");
            }),
        ),
        (
            "bad_settings",
            Box::new(|modules, file| {
                modules.put(file, "records");
                modules.put_bytes(&settings_of(file), b"[limits]\nmemory = 1\n");
            }),
        ),
        (
            "settings_that_are_no_text",
            Box::new(|modules, file| {
                modules.put(file, "records");
                modules.put_bytes(&settings_of(file), b"\xff\xfe");
            }),
        ),
        (
            "settings_that_are_too_large",
            Box::new(|modules, file| {
                modules.put(file, "records");
                modules.put_bytes(&settings_of(file), &[b'#'; TOO_LARGE_SETTINGS_BYTES]);
            }),
        ),
    ];
    bad.extend(SINNERS.map(|name| bytes(name, bytes_of(name))));
    bad
}

fn bytes(name: &'static str, bytes: Vec<u8>) -> Bad {
    (
        name,
        Box::new(move |modules, file| modules.put_bytes(file, &bytes)),
    )
}

fn settings_of(file: &str) -> String {
    file.replace(".wasm", ".toml")
}

fn half_of(guest: &str) -> Vec<u8> {
    let mut bytes = bytes_of(guest);
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// A good guest that speaks another version of our interfaces. The texts are equally long, so it stays a component.
fn of_interface(version: &str) -> Vec<u8> {
    let (from, to) = (b"@0.1.0", version.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes_of("records");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// Leaves nothing of a file, whatever it is.
fn clear(modules: &Modules, file: &str) {
    fs::remove_file(modules.file(file))
        .or_else(|_| fs::remove_dir(modules.file(file)))
        .ok();
    fs::remove_file(modules.file(&settings_of(file))).ok();
}

/// What is said of each refused file, one a line.
async fn refusals(database: &TestDatabase) -> String {
    let mut lines: Vec<String> = database
        .store()
        .host_files()
        .await
        .expect("files")
        .into_iter()
        .filter_map(|(_, found)| {
            let reason = found.refusal?;
            Some(format!("{}: {reason}", found.file))
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

async fn catch_up(host: &mut Host) {
    host.once().await.expect("caught up");
}

/// Among them what goes beyond `module-bytes` and `settings-bytes`.
#[tokio::test]
async fn each_refused_file_says_why() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    for (name, put) in bad_files() {
        put(&modules, &format!("{name}.wasm"));
    }
    let mut host = stepped(&database, &modules).await;

    host.scan().await.expect("scanned");

    let said = refusals(&database).await;
    insta::with_settings!({filters => guests::filters()}, {
        insta::assert_snapshot!(said);
    });
    let known = database.store().subscriptions().await.expect("rows");
    assert!(known.is_empty(), "{known:?}");
}

#[tokio::test]
async fn a_bad_file_never_displaces_the_last_good_module() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let mut host = stepped(&database, &modules).await;
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let goods = [("records_changed", "b"), ("records", "a")];

    for ((name, put), (good, code)) in bad_files().into_iter().zip(goods.into_iter().cycle()) {
        let before = database.subscription("records_1").await.module;
        put(&modules, "records.wasm");
        database.append_ticks(1).await;
        host.scan().await.expect("scanned");
        assert_ne!(refusals(&database).await, "", "{name} is refused");
        catch_up(&mut host).await;
        database.until_all_seen_once("records_1").await;
        let row = database.subscription("records_1").await;
        assert_eq!(
            (row.status.name(), row.module),
            ("Active", before),
            "{name}"
        );

        clear(&modules, "records.wasm");
        modules.put("records.wasm", good);
        database.append_ticks(1).await;
        host.scan().await.expect("scanned");
        assert_eq!(refusals(&database).await, "", "{good} after {name}");
        catch_up(&mut host).await;
        let seen = database.until_all_seen_once("records_1").await;
        assert_eq!(codes(&seen).last(), Some(&code), "{good} after {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_never_says_what_it_is_delays_nobody() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let _host = InProcess::start(&database, &modules).await;
    database.append_ticks(1).await;
    database.until_seen("records_1", 1).await;
    modules.put("spins.wasm", "loops_in_describe");

    let refusal = loop {
        let before = database.seen("records_1").await.expect("rows").len();
        database.append_ticks(1).await;
        database.until_seen("records_1", before + 1).await;
        let refusal = refusals(&database).await;
        if !refusal.is_empty() {
            break refusal;
        }
    };

    insta::assert_snapshot!(refusal);
    database.until_all_seen_once("records_1").await;
}

#[tokio::test]
async fn of_two_files_with_one_id_the_one_that_is_stored_is_used() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put("second.wasm", "records");
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("scanned");
    modules.put("first.wasm", "records_changed");
    database.append_ticks(1).await;

    host.scan().await.expect("scanned");

    insta::assert_snapshot!(refusals(&database).await);
    catch_up(&mut host).await;
    assert_eq!(codes(&database.until_seen("records_1", 1).await), ["a"]);
    modules.remove("second.wasm");
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(codes(&seen), ["a", "b"], "the other one takes over");
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_not_written_to() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    sqlx::raw_sql("CREATE SCHEMA records_1")
        .execute(database.pool())
        .await
        .expect("created");
    let mut host = stepped(&database, &modules).await;

    host.scan().await.expect("scanned");

    insta::assert_snapshot!(refusals(&database).await);
}

#[tokio::test]
async fn what_contradicts_the_stored_subscription_is_refused() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put("records.wasm", "records");
    modules.put_bytes("records.toml", b"[settings]\nrate = 1\n");
    let mut host = stepped(&database, &modules).await;
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let mut said = Vec::new();

    modules.put("records.wasm", "second_kind");
    host.scan().await.expect("scanned");
    said.push(refusals(&database).await);
    modules.put("records.wasm", "records");
    modules.put_bytes("records.toml", b"[settings]\nrate = 2\n");
    host.scan().await.expect("scanned");
    said.push(refusals(&database).await);
    modules.put("records.wasm", "records_changed");
    host.scan().await.expect("scanned");
    said.push(refusals(&database).await);

    insta::assert_snapshot!(said.join("\n"));
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(codes(&seen), ["a"], "nothing of it took effect");
    modules.put_bytes("records.toml", b"[settings]\nrate = 1\n");
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(codes(&seen), ["a", "b"], "with the old settings it does");
}

#[tokio::test]
async fn other_tables_another_filter_and_another_run_mode_want_another_id() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put("counts.wasm", "counts_rows");
    modules.put("waits.wasm", "waits");
    let mut host = stepped(&database, &modules).await;
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    let mut said = Vec::new();

    let tables = with_text(&bytes_of("counts_rows"), "last_position", "last_positiom");
    modules.put_bytes("counts.wasm", &tables);
    host.scan().await.expect("scanned");
    said.push(refusals(&database).await);
    modules.put("counts.wasm", "counts_rows_once");
    let filter = with_text(&bytes_of("waits"), "NeverHappens", "NeverComesUp");
    modules.put_bytes("waits.wasm", &filter);
    host.scan().await.expect("scanned");
    said.push(refusals(&database).await);

    insta::assert_snapshot!(said.join("\n"));
    database.append_ticks(1).await;
    catch_up(&mut host).await;
    for id in ["counts_rows_1", "waits_aa_1"] {
        assert_eq!(
            database.status(id).await,
            "Active",
            "{id} goes on as it was"
        );
    }
}

#[tokio::test]
async fn a_file_that_grows_is_taken_up_when_it_is_whole() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    let _host = InProcess::start(&database, &modules).await;
    database.append_ticks(1).await;
    let (half, whole) = (half_of("records"), bytes_of("records"));
    fs::write(modules.file("records.wasm"), half).expect("written");
    eventually(PATIENCE, async || match refusals(&database).await {
        none if none.is_empty() => Err("nothing is refused yet"),
        _ => Ok(()),
    })
    .await;

    fs::write(modules.file("records.wasm"), whole).expect("written");

    database.until_all_seen_once("records_1").await;
    eventually(Duration::from_secs(5), async || {
        match refusals(&database).await {
            none if none.is_empty() => Ok(()),
            refusal => Err(refusal),
        }
    })
    .await;
}

/// Between two looks at new settings the old ones are known still: who removes a subscription to change them must not get those.
#[tokio::test]
async fn a_subscription_that_is_made_again_has_the_settings_that_are_there_now() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    modules.put_bytes("records.toml", b"[settings]\ncolour = \"red\"\n");
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    let removed = database.store().remove_subscription("records_1").await;
    assert!(removed.expect("an answer"));

    modules.put_bytes("records.toml", b"[settings]\ncolour = \"blue\"\n");
    catch_up(&mut host).await;

    let row = database.subscription("records_1").await;
    assert_eq!(
        row.settings.pointer("/settings/colour"),
        Some(&serde_json::Value::from("blue"))
    );
    assert_eq!(refusals(&database).await, "");
}
