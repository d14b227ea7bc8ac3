//! Operators' verbs while a guest is in a call that lasts for a minute: none waits for it, and the host obeys within a second.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::command::{shown, typed};
use crate::support::log::event;
use crate::support::process::{HostProcess, modules};
use crate::support::{PATIENCE, TestDatabase, eventually, guests};

/// The call would take some 40 s. A second is promised; a busy machine, which also starts a process for each verb, gets more.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A host whose one guest is in a long call.
async fn in_a_long_call(guest: &str, id: &str) -> (TestDatabase, tempfile::TempDir, HostProcess) {
    guests::build();
    let database = TestDatabase::new().await;
    database
        .append("ticks", &vec![event("Tick", &json!({})); 1_000])
        .await;
    let modules = modules(&[guest]);
    let settings = "[settings]\ndelay-ms = 40\n[limits]\nhandle-timeout-ms = 50000\n";
    let path = modules.path().join(format!("{guest}.toml"));
    std::fs::write(path, settings).expect("written");
    let host = HostProcess::start(database.url(), modules.path());
    database.until_status(id, "Booting").await;
    database.until_in_a_batch(id).await;
    (database, modules, host)
}

/// Does what a person types, and demands that it comes back at once and well.
async fn at_once(database: &TestDatabase, modules: &tempfile::TempDir, words: &[&str]) -> String {
    let began = Instant::now();
    let runs_guests = ["setup", "rewind", "remove", "teardown"].contains(&words[0]);
    let text = match runs_guests {
        true => typed(database, modules, words).await,
        false => shown(database, words).await,
    };
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{took:?}: {text}");
    text
}

#[tokio::test]
async fn every_verb_comes_back_while_a_call_lasts() {
    let (database, modules, host) = in_a_long_call("slow", "slow_1").await;
    let done = async |words: &[&str]| {
        let text = at_once(&database, &modules, words).await;
        assert!(text.ends_with("exit 0\n"), "{text}");
    };
    // What does not stop it leaves the call alone.
    for words in [
        &["status"] as &[&str],
        &["refresh", "--id", "slow_1"],
        &["skipped", "list"],
        &["retry"],
        &["setup"],
    ] {
        done(words).await;
    }
    assert!(database.in_a_batch("slow_1").await, "the call goes on");

    done(&["pause", "--id", "slow_1"]).await;
    database.until_out_of_a_batch("slow_1").await;
    done(&["reactivate", "--id", "slow_1"]).await;
    database.until_in_a_batch("slow_1").await;
    done(&["rewind", "--id", "slow_1", "--to", "0", "--yes"]).await;
    assert_eq!(database.subscription("slow_1").await.generation, 2);
    database.until_in_a_batch("slow_1").await;
    done(&["rewind", "--id", "slow_1", "--to", "0", "--keep-rows"]).await;
    database.until_in_a_batch("slow_1").await;
    // Its file is there, so that it is built anew.
    done(&["remove", "--id", "slow_1", "--yes"]).await;
    database.until_status("slow_1", "Booting").await;
    assert_eq!(database.subscription("slow_1").await.generation, 1);
    database.until_in_a_batch("slow_1").await;
    std::fs::remove_file(modules.path().join("slow.wasm")).expect("removed");
    database.until_status("slow_1", "Detached(Booting)").await;
    database.until_out_of_a_batch("slow_1").await;
    done(&["teardown", "--id", "slow_1", "--yes"]).await;

    let rows = database.store().subscriptions().await.expect("rows");
    assert!(rows.is_empty(), "{rows:?}");
    assert_eq!(host.terminate(), Some(0));
}

#[tokio::test]
async fn a_pause_does_not_wait_for_a_guest_that_runs_once() {
    let (database, modules, host) = in_a_long_call("slow_once", "slow_once_1").await;

    let text = at_once(&database, &modules, &["pause", "--id", "slow_once_1"]).await;

    assert!(text.ends_with("exit 0\n"), "{text}");
    database.until_out_of_a_batch("slow_once_1").await;
    assert_eq!(database.status("slow_once_1").await, "Paused(Booting)");
    // Where it ends was fixed when it began, whatever became of the batch.
    let row = database.subscription("slow_once_1").await;
    assert_eq!(row.boot_until, Some(1_000));
    eventually(PATIENCE, async || {
        match database.in_a_batch("slow_once_1").await {
            false => Ok(()),
            true => Err("a batch is open"),
        }
    })
    .await;
    assert_eq!(host.terminate(), Some(0));
}
