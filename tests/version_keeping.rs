//! What is kept of versions that readers do not see any more, which modules are kept, and whose file counts.

use std::fs;
use std::time::Duration;

use projectionist::admin;
use projectionist::engine::{Options, Watch};
use sqlx::Executor as _;
use subscription::{Keep, Status};
use tempfile::TempDir;

use crate::support::command::{shown, typed};
use crate::support::host::stepped_with;
use crate::support::log::codes;
use crate::support::versions::{LEDGER, ledger};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually, stepped};

/// Often enough that no test waits for it.
const SHORT_RESCAN: Duration = Duration::from_millis(50);

fn rescanning(options: Options) -> Options {
    Options {
        watch: Watch::RescanOnly,
        rescan: SHORT_RESCAN,
        ..options
    }
}

async fn ids(database: &TestDatabase) -> Vec<String> {
    let rows = database.store().subscriptions().await.expect("rows");
    rows.into_iter().map(|row| row.id).collect()
}

/// Takes a line through versions 101 to 103.
async fn three_versions(database: &TestDatabase, keep: Keep) -> Modules {
    let modules = Modules::new();
    database.append_moves(10).await;
    for version in [101, 102, 103] {
        modules.put_ledger("ledger.wasm", version, "plain");
        let mut host =
            stepped_with(database, &modules, |options| Options { keep, ..options }).await;
        host.once().await.expect("caught up");
    }
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_103"));
    modules
}

#[tokio::test]
async fn all_versions_are_kept_unless_somebody_says_otherwise() {
    let database = TestDatabase::new().await;
    three_versions(&database, Keep::default()).await;
    assert_eq!(
        ids(&database).await,
        ["ledger_101", "ledger_102", "ledger_103"]
    );
}

#[tokio::test]
async fn so_many_versions_are_kept_as_the_host_is_told() {
    let database = TestDatabase::new().await;
    three_versions(&database, Keep::Count(1)).await;
    assert_eq!(ids(&database).await, ["ledger_102", "ledger_103"]);
    assert!(database.accounts("ledger_101").await.is_err());
    let modules = database.store().modules().await.expect("modules");
    assert_eq!(modules.len(), 2, "the module of the version went with it");
}

#[tokio::test]
async fn versions_are_kept_for_as_long_as_the_settings_say() {
    let database = TestDatabase::new().await;
    let modules = three_versions(&database, Keep::All).await;
    modules.put_bytes("ledger.toml", b"[versions]\nkeep = \"1h\"\n");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    assert_eq!(ids(&database).await.len(), 3);

    sqlx::query("UPDATE projectionist.subscriptions SET left_live_at = left_live_at - interval '2 hours' WHERE id = 'ledger_101'")
        .execute(database.pool())
        .await
        .expect("aged");
    host.once().await.expect("caught up");

    assert_eq!(ids(&database).await, ["ledger_102", "ledger_103"]);
}

#[tokio::test]
async fn what_users_built_on_a_kept_version_keeps_it() {
    let database = TestDatabase::new().await;
    let modules = three_versions(&database, Keep::All).await;
    sqlx::query("CREATE VIEW public.old AS SELECT id FROM ledger_101.account")
        .execute(database.pool())
        .await
        .expect("made");
    let keep_none = |options| Options {
        keep: Keep::Count(0),
        ..options
    };
    let mut host = stepped_with(&database, &modules, keep_none).await;
    host.once().await.expect("caught up");

    assert_eq!(ids(&database).await, ["ledger_101", "ledger_103"]);
    database.accounts("ledger_101").await.expect("still there");
}

#[tokio::test]
async fn a_version_that_was_rolled_back_from_is_never_dropped_by_itself() {
    let database = TestDatabase::new().await;
    let modules = three_versions(&database, Keep::All).await;
    let store = database.store();
    admin::activate(&store, "ledger_102", projectionist::store::Unseen::PassOver)
        .await
        .expect("wanted");
    let keep_none = |options| Options {
        keep: Keep::Count(0),
        ..options
    };
    let mut host = stepped_with(&database, &modules, keep_none).await;
    host.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    assert_eq!(ids(&database).await, ["ledger_102", "ledger_103"]);
}

#[tokio::test]
async fn the_live_version_is_not_torn_down() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_ledger("ledger.wasm", 101, "plain");
    modules.put("records.wasm", "records");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    modules.put_ledger("ledger.wasm", 102, "plain");
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    modules.remove("ledger.wasm");
    host.once().await.expect("caught up");
    assert_eq!(database.status("ledger_102").await, "Detached(Active)");

    let said = shown(&database, &["teardown", "--id", "ledger_102", "--yes"]).await;

    assert!(said.contains("is the live version of ledger"), "{said}");
    database.accounts(LEDGER).await.expect("still there");
}

#[tokio::test]
async fn two_hosts_with_different_files_for_one_id_do_not_take_turns() {
    let database = TestDatabase::new().await;
    let (here, there) = (Modules::with(&["records"]), Modules::new());
    there.put("records.wasm", "records_changed");
    let _one = InProcess::start_with(&database, &here, rescanning).await;
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    let runs = database.subscription("records_1").await.module;

    let _other = InProcess::start_with(&database, &there, rescanning).await;
    let refusal = eventually(PATIENCE, async || {
        let files = database.store().host_files().await.expect("files");
        let refusal = files.into_iter().find_map(|(_, file)| file.refusal);
        refusal.ok_or("nothing is refused")
    })
    .await;
    assert!(
        refusal.contains("`records_1` runs with other code"),
        "{refusal}"
    );
    let writer = database.append_continuously();
    database.until_seen("records_1", 200).await;
    assert_eq!(database.subscription("records_1").await.module, runs);
    writer.stop().await;
    assert_eq!(
        codes(&database.until_all_seen_once("records_1").await),
        ["a"]
    );

    // A change counts, wherever it is made.
    there.put("records.wasm", "records");
    there.put("more.wasm", "counts_rows");
    database.until_status("counts_rows_1", "Active").await;
    there.put("records.wasm", "records_changed");
    database.append_ticks(3).await;
    eventually(PATIENCE, async || {
        database.append_ticks(1).await;
        let seen = database.seen("records_1").await.expect("rows");
        match codes(&seen)[..] {
            ["a", "b"] => Ok(()),
            ref codes => Err(format!("seen by {codes:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_host_does_not_undo_the_change_that_another_is_about_to_tell() {
    let database = TestDatabase::new().await;
    let (here, there) = (Modules::with(&["records"]), Modules::new());
    let mut one = stepped(&database, &here).await;
    one.scan().await.expect("scanned");
    let mut other = stepped(&database, &there).await;
    for guest in ["records_changed", "records"] {
        there.put("records.wasm", guest);
        other.scan().await.expect("scanned");
    }
    let runs = database.subscription("records_1").await.module;

    there.put("records.wasm", "records_changed");
    let mut silence = database.connect().await;
    silence
        .execute("BEGIN; LOCK TABLE projectionist.host_files IN SHARE MODE")
        .await
        .expect("no host can tell what it has");
    let change = tokio::spawn(async move { other.scan().await.map(|()| other) });
    database.until_backends_wait(1).await;
    let look = tokio::spawn(async move { one.scan().await.map(|()| one) });
    database.until_backends_wait(2).await;
    silence.execute("COMMIT").await.expect("they can again");
    let mut other = change.await.expect("no panic").expect("scanned");
    let mut one = look.await.expect("no panic").expect("scanned");
    one.scan().await.expect("scanned");
    other.scan().await.expect("scanned");

    assert_ne!(database.subscription("records_1").await.module, runs);
}

#[tokio::test]
async fn a_host_without_the_file_builds_and_switches_all_the_same() {
    let database = TestDatabase::new().await;
    let modules = Modules::new();
    modules.put_ledger("ledger.wasm", 101, "plain");
    database.append_moves(10).await;
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("scanned");
    drop(host);

    let mut other = stepped(&database, &Modules::new()).await;
    other.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    database.until_ledger_is_right("ledger_101").await;
}

#[tokio::test]
async fn modules_are_listed_shown_and_pinned() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_ledger("ledger.wasm", 101, "plain");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    let listed = shown(&database, &["modules"]).await;
    let one = shown(&database, &["modules", "show", "ledger_101"]).await;
    let pinned = shown(&database, &["modules", "pin", "ledger_101"]).await;
    let unknown = shown(&database, &["modules", "show", "nothing"]).await;
    let removed = database.store().remove_subscription("ledger_101").await;
    assert!(removed.expect("removed"));
    let kept = shown(&database, &["modules"]).await;
    let digest = database.store().modules().await.expect("modules")[0].digest;
    let digest = hex::encode(digest);
    let unpinned = shown(&database, &["modules", "unpin", &digest[..12]]).await;
    let gone = shown(&database, &["modules"]).await;

    insta::with_settings!({filters => vec![
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\b[0-9a-f]{12}\b", "[digest]"),
        (r"\b[0-9a-f]{8}\b", "[digest]"),
        (r"\d+ s ago", "[time] ago"),
        (r"since \d+ s", "since [time]"),
        (r"in [\d,]+ ms", "in [time]"),
        (r"\d+ KiB", "[size]"),
        (r"\n +wasi:[^\n]*", ""),
        (r" +\n", "\n"),
    ]}, {
        insta::assert_snapshot!([listed, one, pinned, unknown, kept, unpinned, gone].join("\n"));
    });
}

#[tokio::test]
async fn a_file_is_installed_as_a_whole_or_not_at_all() {
    let database = TestDatabase::new().await;
    let (from, modules) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    let file = |name: &str| from.path().join(name);
    fs::write(file("accounts.wasm"), ledger(101, "plain")).expect("written");
    fs::write(file("accounts.toml"), b"[limits]\nmemory-mib = 64\n").expect("written");
    fs::write(file("broken.wasm"), b"half a module").expect("written");
    let install = async |words: &[&str], modules: &TempDir| {
        let all: Vec<&str> = words.iter().copied().chain(["--modules", "DIR"]).collect();
        typed(&database, modules, &all).await
    };

    let good = file("accounts.wasm").display().to_string();
    let bad = file("broken.wasm").display().to_string();
    let said = install(&["install", &good, "--as", "ledger"], &modules).await;
    let refused = install(&["install", &bad, "--as", "ledger"], &modules).await;

    assert!(
        said.contains("ledger_101 is in") && said.contains("exit 0"),
        "{said}"
    );
    assert!(
        refused.contains("is not installed") && refused.contains("exit 1"),
        "{refused}"
    );
    let mut there: Vec<String> = fs::read_dir(modules.path())
        .expect("listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    there.sort();
    assert_eq!(there, ["ledger.toml", "ledger.wasm"]);
    let bytes = fs::read(modules.path().join("ledger.wasm")).expect("read");
    assert_eq!(bytes, ledger(101, "plain"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_are_built_leave_room_for_the_live_ones() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let _host = InProcess::start(&database, &modules).await;
    database.append_ticks(300).await;
    database.until_all_seen_once("records_1").await;
    // More slow subscriptions than there are batches, each of which would take minutes.
    for nth in 0..9_u8 {
        let name = format!("slow_{nth}");
        modules.put_bytes(
            &format!("{name}.toml"),
            b"[settings]\ndelay-ms = 100\n[limits]\nhandle-timeout-ms = 50000\n",
        );
        modules.put_bytes(&format!("{name}.wasm"), &slow(nth));
    }
    eventually(PATIENCE * 6, async || {
        let rows = database.store().subscriptions().await.expect("rows");
        let slow = rows.iter().filter(|row| row.id.starts_with("slo"));
        let booting = slow.filter(|row| row.status == Status::Booting).count();
        match booting {
            9.. => Ok(()),
            few => Err(format!("{few} of the slow ones are being built")),
        }
    })
    .await;

    let last = database.append_ticks(5).await;
    eventually(PATIENCE, async || {
        match database.position("records_1").await {
            position if position >= last => Ok(()),
            position => Err(format!("records_1 is at {position} of {last}")),
        }
    })
    .await;
    let booting = database.status("sloa_1").await;
    assert_eq!(booting, "Booting", "the slow ones are at it still");
}

/// The slow guest under another id.
fn slow(nth: u8) -> Vec<u8> {
    let id = format!("slo{}_1", char::from(b'a' + nth));
    crate::support::versions::replace(crate::support::modules::bytes_of("slow"), "slow_1", &id)
}
