//! Hosts that stop and start, subscriptions that are paused, connections that are lost: nothing else is.

use std::time::{Duration, Instant};

use projectionist::admin;
use projectionist::engine::{Notice, Options};

use crate::support::log::{column, only};
use crate::support::{HostProcess, InProcess, Modules, PATIENCE, TestDatabase, eventually};

/// Longer than a host is given for its open batches here.
const EXIT_LIMIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_restarted_host_goes_on_where_it_stopped() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(10).await;
    let host = HostProcess::start(database.url(), modules.path());
    database.until_all_seen_once("records_1").await;
    host.kill();
    database.append_ticks(10).await;

    let host = HostProcess::start(database.url(), modules.path());

    database.until_all_seen_once("records_1").await;
    let (exit, said) = host.stopped_within(EXIT_LIMIT).await;
    assert_eq!(exit, Some(0), "{said}");
}

#[tokio::test]
async fn told_to_stop_under_load_it_leaves_in_time_and_loses_nothing() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    modules.put("counts.wasm", "counts_rows");
    database.append_ticks(3_000).await;
    let appender = database.append_continuously();
    let mut seen = 0;
    for _ in 0..2 {
        let host = HostProcess::start(database.url(), modules.path());
        database.until_seen("records_1", seen + 1).await;
        let (exit, said) = host.stopped_within(EXIT_LIMIT).await;
        assert_eq!(exit, Some(0), "{said}");
        seen = database.seen("records_1").await.expect("rows").len();
    }

    let _host = HostProcess::start(database.url(), modules.path());

    database.until_seen("records_1", seen + 1).await;
    appender.stop().await;
    database.until_all_seen_once("records_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_end_in_time_is_rolled_back() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["slow"]));
    modules.put_bytes(
        "slow.toml",
        b"[settings]\ndelay-ms = 5\n[limits]\nhandle-timeout-ms = 50000\n",
    );
    database.append_ticks(5_000).await;
    let short = |options| Options {
        drain: Duration::from_millis(50),
        ..options
    };
    let host = InProcess::start_with(&database, &modules, short).await;
    database.until_status("slow_1", "Booting").await;
    database.until_in_a_batch("slow_1").await;

    host.stop().await;

    database.until_out_of_a_batch("slow_1").await;
    assert_eq!(database.position("slow_1").await, 0);
    let rows: Vec<i64> = column(database.pool(), "SELECT position FROM slow_1.handled").await;
    assert_eq!(rows, [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_the_open_batch_and_lasts() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["slow"]));
    modules.put_bytes(
        "slow.toml",
        b"[settings]\ndelay-ms = 20\n[limits]\nhandle-timeout-ms = 50000\n",
    );
    modules.put("records.wasm", "records");
    database.append_ticks(2_000).await;
    let _host = InProcess::start(&database, &modules).await;
    database.until_status("slow_1", "Booting").await;
    database.until_in_a_batch("slow_1").await;

    let began = Instant::now();
    let changes = admin::pause(&database.store(), &only("slow_1"))
        .await
        .expect("paused");
    assert_eq!(changes[0].result, admin::Done::Done);
    database.until_out_of_a_batch("slow_1").await;

    // The batch would have taken 40 s. A second is promised; a busy machine gets some more.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    database.append_ticks(3).await;
    database.until_all_seen_once("records_1").await;
    assert_eq!(database.status("slow_1").await, "Paused(Booting)");
    assert_eq!(database.position("slow_1").await, 0);
}

#[tokio::test]
async fn a_paused_subscription_goes_on_where_it_was() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    modules.put("counts.wasm", "counts_rows");
    database.append_ticks(3).await;
    let _host = InProcess::start(&database, &modules).await;
    database.until_status("records_1", "Active").await;
    database.until_status("counts_rows_1", "Active").await;
    admin::pause(&database.store(), &only("records_1"))
        .await
        .expect("paused");
    let last = database.append_ticks(3).await;
    eventually(PATIENCE, async || {
        match database.position("counts_rows_1").await {
            position if position >= last => Ok(()),
            position => Err(format!("counts_rows_1 is at {position}")),
        }
    })
    .await;
    assert_eq!(database.seen("records_1").await.expect("rows").len(), 3);

    admin::reactivate(&database.store(), &only("records_1"))
        .await
        .expect("reactivated");

    database.until_all_seen_once("records_1").await;
    database.until_status("records_1", "Active").await;
}

/// A guest without statements of its own: in those, a lost connection costs an attempt.
#[tokio::test]
async fn lost_connections_cost_no_attempt_and_nothing_else() {
    const ID: &str = "counts_rows_1";
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["counts_rows"]));
    let mut host = InProcess::start(&database, &modules).await;
    database.until_status(ID, "Active").await;
    let until_past = async |position: i64| {
        eventually(PATIENCE, async || match database.position(ID).await {
            now if now > position => Ok(now),
            now => Err(format!("it is at {now}, not past {position}")),
        })
        .await
    };
    let appender = database.append_continuously();
    let mut position = until_past(10).await;

    for _ in 0..5 {
        let mut killer = database.connect().await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut killer)
        .await
        .expect("terminated");
        drop(killer);
        position = until_past(position + 10).await;
    }

    appender.stop().await;
    let head = database.store().head().await.expect("a head");
    until_past(head - 1).await;
    let counted: Vec<bool> = column(
        database.pool(),
        "SELECT events = (SELECT count(*) FROM projectionist.events) FROM counts_rows_1.stream_count",
    )
    .await;
    assert_eq!(counted, [true], "each event once");
    assert_eq!(database.status(ID).await, "Active");
    let failed: Vec<Notice> = host
        .noticed()
        .into_iter()
        .filter(|notice| matches!(notice, Notice::Failed { .. }))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}
