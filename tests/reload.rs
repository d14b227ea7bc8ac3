//! What an operator does with files while the host runs: new bytes, a new id, a file removed, a directory gone.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use projectionist::admin;
use projectionist::engine::{MARKER, Notice, Options, Watch};

use crate::support::log::{codes, only};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually, stepped};

/// Often enough that no test waits for it.
const SHORT_RESCAN: Duration = Duration::from_millis(50);

/// So seldom that only a hint can be the reason for a look.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

fn rescanning(options: Options) -> Options {
    Options {
        watch: Watch::RescanOnly,
        rescan: SHORT_RESCAN,
        ..options
    }
}

fn hinted(options: Options) -> Options {
    Options {
        rescan: NEVER,
        ..options
    }
}

async fn reactivate(database: &TestDatabase, id: &str) {
    let changes = admin::reactivate(&database.store(), &only(id))
        .await
        .expect("reactivated");
    assert_eq!(changes[0].result, admin::Done::Done, "{changes:?}");
}

/// Replaces the code while somebody appends, and demands one switch with nothing lost or doubled.
async fn new_bytes_take_over(change: impl FnOnce(Options) -> Options) {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(500).await;
    let _host = InProcess::start_with(&database, &modules, change).await;
    let writer = database.append_continuously();
    database.until_seen("records_1", 520).await;
    let registered = database.subscription("records_1").await;

    modules.put("records.wasm", "records_changed");

    eventually(PATIENCE, async || {
        let seen = database.seen("records_1").await.expect("rows");
        match seen.iter().filter(|row| row.code == "b").count() {
            20.. => Ok(()),
            few => Err(format!("{few} events seen by the new code")),
        }
    })
    .await;
    writer.stop().await;
    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(codes(&seen), ["a", "b"]);
    let row = database.subscription("records_1").await;
    assert_ne!(row.module, registered.module);
    assert_eq!(row.generation, registered.generation);
}

#[tokio::test]
async fn new_bytes_under_the_same_id_take_over_between_two_batches() {
    new_bytes_take_over(hinted).await;
}

#[tokio::test]
async fn without_file_events_the_rescan_finds_the_change() {
    new_bytes_take_over(rescanning).await;
}

#[tokio::test]
async fn a_new_id_is_a_new_subscription_from_the_beginning() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(20).await;
    let _host = InProcess::start_with(&database, &modules, hinted).await;
    database.until_all_seen_once("records_1").await;

    modules.put("records_2.wasm", "records_2");

    let seen = database.until_all_seen_once("records_2").await;
    assert_eq!(codes(&seen), ["c"]);
    database.until_live("records", "records_2").await;
    database.append_ticks(5).await;
    assert_eq!(
        codes(&database.until_all_seen_once("records_2").await),
        ["c"]
    );
    assert_eq!(database.status("records_1").await, "Detached(Active)");
    let kept = database.seen("records_1").await.expect("rows");
    assert_eq!(codes(&kept), ["a"]);
}

#[tokio::test]
async fn a_file_that_changes_to_a_new_id_is_a_new_subscription_too() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(20).await;
    let _host = InProcess::start_with(&database, &modules, hinted).await;
    database.until_all_seen_once("records_1").await;

    modules.put("records.wasm", "records_2");

    database.until_all_seen_once("records_2").await;
    let rows = database.seen("records_1").await.expect("rows");
    assert_eq!(codes(&rows), ["a"], "what was built stays");
}

#[tokio::test]
async fn a_removed_file_detaches_and_only_an_operator_brings_it_back() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    modules.put("counts.wasm", "counts_rows");
    database.append_ticks(3).await;
    let _host = InProcess::start_with(&database, &modules, hinted).await;
    database.until_status("records_1", "Active").await;

    modules.remove("records.wasm");
    database.until_status("records_1", "Detached(Active)").await;
    modules.put("records.wasm", "records_changed");
    let last = database.append_ticks(3).await;
    eventually(PATIENCE, async || {
        match database.position("counts_rows_1").await {
            position if position >= last => Ok(()),
            position => Err(format!("counts_rows_1 is at {position}")),
        }
    })
    .await;
    assert_eq!(database.status("records_1").await, "Detached(Active)");
    assert_eq!(database.seen("records_1").await.expect("rows").len(), 3);

    reactivate(&database, "records_1").await;

    database.until_all_seen_once("records_1").await;
}

#[tokio::test]
async fn a_detached_subscription_runs_on_from_its_stored_bytes() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(3).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    modules.remove("records.wasm");
    host.once().await.expect("caught up");
    assert_eq!(database.status("records_1").await, "Detached(Active)");
    database.append_ticks(3).await;

    reactivate(&database, "records_1").await;
    // Another host, which never saw the file.
    let mut other = stepped(&database, &Modules::new()).await;
    other.once().await.expect("caught up");

    database.until_all_seen_once("records_1").await;
}

#[tokio::test]
async fn what_went_while_no_host_ran_is_detached_at_the_next_start() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    modules.put("counts.wasm", "counts_rows");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    drop(host);
    modules.remove("records.wasm");

    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    assert_eq!(database.status("records_1").await, "Detached(Active)");
    assert_eq!(database.status("counts_rows_1").await, "Active");
}

#[tokio::test]
async fn a_file_that_broke_still_holds_its_subscription_after_a_restart() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    drop(host);
    modules.put_bytes("records.wasm", b"half a module");
    database.append_ticks(3).await;

    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    database.until_all_seen_once("records_1").await;
    assert_eq!(database.status("records_1").await, "Active");
    modules.remove("records.wasm");
    host.once().await.expect("caught up");
    assert_eq!(database.status("records_1").await, "Detached(Active)");
}

#[tokio::test]
async fn a_directory_that_goes_away_changes_nothing_and_is_told() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(3).await;
    let mut host = InProcess::start_with(&database, &modules, rescanning).await;
    database.until_all_seen_once("records_1").await;
    eventually(PATIENCE, async || match modules.file(MARKER).exists() {
        true => Ok(()),
        false => Err("the directory is not marked"),
    })
    .await;
    let aside = PathBuf::from(format!("{}-aside", modules.path().display()));

    fs::rename(modules.path(), &aside).expect("renamed");
    until_told(&mut host, Some("cannot be read")).await;
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    // An empty mount point in its place: readable, but not ours.
    fs::create_dir(modules.path()).expect("made");
    until_told(&mut host, Some("has lost its marker file")).await;
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    assert_eq!(database.status("records_1").await, "Active");
    fs::remove_dir(modules.path()).expect("removed");
    fs::rename(&aside, modules.path()).expect("renamed back");
    until_told(&mut host, None).await;

    assert_eq!(database.status("records_1").await, "Active");
}

/// Waits until the host tells a problem of its directory in these words, or that there is none any more.
async fn until_told(host: &mut InProcess, words: Option<&str>) {
    eventually(PATIENCE, async || {
        let noticed = host.noticed();
        let told = |notice: &Notice| match (notice, words) {
            (Notice::Directory { problem: None }, None) => true,
            (
                Notice::Directory {
                    problem: Some(problem),
                },
                Some(words),
            ) => problem.contains(words),
            _ => false,
        };
        match noticed.iter().any(told) {
            true => Ok(()),
            false => Err(format!("not told: {words:?}; noticed lately: {noticed:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_another_host_still_has_is_not_missing() {
    let database = TestDatabase::new().await;
    let (here, there) = (Modules::with(&["records"]), Modules::with(&["records"]));
    here.put("counts.wasm", "counts_rows");
    let _other = InProcess::start_with(&database, &there, rescanning).await;
    let mut host = InProcess::start_with(&database, &here, rescanning).await;
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    both_have(&database, "records.wasm").await;
    database.until_status("counts_rows_1", "Active").await;

    here.remove("records.wasm");
    here.remove("counts.wasm");
    // Looked at together with the other file, so whatever this host makes of the first is settled by then.
    database
        .until_status("counts_rows_1", "Detached(Active)")
        .await;
    assert_eq!(database.status("records_1").await, "Active");
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    let detached = host.noticed().into_iter().any(|notice| {
        matches!(notice, Notice::Status { subscription, status }
            if subscription == "records_1" && status.name() == "Detached")
    });
    assert!(!detached);

    there.remove("records.wasm");
    database.until_status("records_1", "Detached(Active)").await;
}

#[tokio::test]
async fn what_an_operator_brought_back_without_its_file_no_host_detaches_again() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let _one = InProcess::start_with(&database, &modules, rescanning).await;
    let _other = InProcess::start_with(&database, &modules, rescanning).await;
    both_have(&database, "records.wasm").await;
    database.until_status("records_1", "Active").await;
    modules.remove("records.wasm");
    database.until_status("records_1", "Detached(Active)").await;
    modules.put("counts.wasm", "counts_rows");
    both_have(&database, "counts.wasm").await;

    reactivate(&database, "records_1").await;

    modules.put("more.wasm", "accounts");
    both_have(&database, "more.wasm").await;
    modules.put("still_more.wasm", "traps_in_handle");
    both_have(&database, "still_more.wasm").await;
    assert_eq!(database.status("records_1").await, "Active");
}

async fn both_have(database: &TestDatabase, file: &str) {
    eventually(PATIENCE, async || {
        let files = database.store().host_files().await.expect("files");
        match files.iter().filter(|(_, found)| found.file == file).count() {
            2 => Ok(()),
            count => Err(format!("{count} hosts have {file}")),
        }
    })
    .await;
}

#[tokio::test]
async fn two_hosts_share_a_subscription_without_losing_or_doubling() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["records"]);
    let _one = InProcess::start(&database, &modules).await;
    let _other = InProcess::start(&database, &modules).await;
    let writer = database.append_continuously();
    database.until_seen("records_1", 100).await;
    modules.put("records.wasm", "records_changed");
    eventually(PATIENCE, async || {
        let seen = database.seen("records_1").await.expect("rows");
        match codes(&seen).last() {
            Some(&"b") => Ok(()),
            last => Err(format!("the last code is {last:?}")),
        }
    })
    .await;

    writer.stop().await;

    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(codes(&seen), ["a", "b"]);
}
