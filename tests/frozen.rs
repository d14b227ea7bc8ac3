//! A host that is frozen in the middle of a batch holds its lane by the session that it left open, until another host ends that.

use std::time::{Duration, Instant};

use projectionist::engine::STUCK_TIMES_VARIABLE;
use projectionist::store::Store;

use crate::support::{HostProcess, Modules, PATIENCE, TestDatabase, eventually};

const ID: &str = "slow_1";

/// A guest that takes long enough to be found at work.
const SETTINGS: &[u8] = b"[settings]\ndelay-ms = 300\n[limits]\nhandle-timeout-ms = 50000\n";

/// What the second host takes for frozen, in times of the server's own patience of a minute: three seconds.
const IMPATIENCE: &str = "0.05";

/// The server would end the session after so long. What is over sooner was ended by the other host.
const PATIENCE_OF_THE_SERVER: Duration = Duration::from_secs(60);

/// The process of the session that is in a batch.
async fn session(database: &TestDatabase) -> Option<i32> {
    sqlx::query_scalar(
        "SELECT a.pid FROM pg_stat_activity a JOIN projectionist.roles r ON r.name = a.usename
          WHERE r.subscription = $1 AND a.state LIKE 'idle in transaction%'",
    )
    .bind(ID)
    .fetch_optional(database.pool())
    .await
    .expect("an answer")
}

/// Freezes a host that has a batch open, while its guest computes; the session that stays open.
async fn freeze_in_a_batch(database: &TestDatabase, host: &HostProcess) -> i32 {
    eventually(PATIENCE, async || {
        database.append_ticks(1).await;
        database.until_in_a_batch(ID).await;
        host.freeze();
        // A statement may still be under way on the server; what is idle now stays as it is.
        match session(database).await {
            Some(pid) => Ok(pid),
            None => {
                host.thaw();
                Err("the batch was over before the host was frozen")
            }
        }
    })
    .await
}

#[tokio::test]
async fn another_host_ends_the_session_of_a_frozen_one_and_goes_on() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["slow"]));
    modules.put_bytes("slow.toml", SETTINGS);
    let frozen = HostProcess::start(database.url(), modules.path());
    database.until_status(ID, "Active").await;
    let session_before = freeze_in_a_batch(&database, &frozen).await;
    let began = Instant::now();

    let other = HostProcess::start_with(database.url(), modules.path(), |host| {
        host.env(STUCK_TIMES_VARIABLE, IMPATIENCE)
    });

    until_all_handled(&database, PATIENCE_OF_THE_SERVER).await;
    let took = began.elapsed();
    assert!(
        took < PATIENCE_OF_THE_SERVER,
        "only after {took:?}: {}",
        other.output()
    );
    assert_ne!(session(&database).await, Some(session_before));

    // The one that was frozen finds that it has lost its batch, and takes its share again.
    frozen.thaw();
    other.kill();
    database.append_ticks(3).await;
    until_all_handled(&database, PATIENCE).await;
    assert_eq!(frozen.terminate(), Some(0));
}

/// A host that is frozen between two statements of its own, such as those of a switch or of an append, holds locks and the horizon.
#[tokio::test]
async fn what_a_frozen_host_holds_by_itself_is_let_go() {
    let (database, other) = (TestDatabase::new().await, TestDatabase::new().await);
    let frozen = database.store();
    let mut transaction = frozen.pool().begin().await.expect("begun");
    let patience: String = sqlx::query_scalar("SHOW idle_in_transaction_session_timeout")
        .fetch_one(&mut *transaction)
        .await
        .expect("a setting");
    assert_eq!(patience, "1min", "the server ends it by itself");
    let lock = "LOCK TABLE projectionist.subscriptions IN ACCESS EXCLUSIVE MODE";
    let locked = sqlx::raw_sql(lock).execute(&mut *transaction).await;
    locked.expect("locked");

    // Who works is left alone, and so is another database.
    let store = Store::connect(database.url(), 2).await.expect("a store");
    store.end_stuck_sessions(2.0).await.expect("looked");
    other.store().end_stuck_sessions(0.0).await.expect("looked");
    let asked = sqlx::query("SELECT 1").execute(&mut *transaction).await;
    asked.expect("it is there");

    store.end_stuck_sessions(0.0).await.expect("ended");

    // It waits for the lock.
    store.subscriptions().await.expect("rows");
    let asked = sqlx::query("SELECT 1").execute(&mut *transaction).await;
    asked.expect_err("its session is gone");
}

/// Waits until each event was handled, exactly once.
async fn until_all_handled(database: &TestDatabase, patience: Duration) {
    let events: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM projectionist.events ORDER BY 1")
            .fetch_all(database.pool())
            .await
            .expect("positions");
    eventually(patience, async || {
        let handled: Vec<i64> =
            sqlx::query_scalar("SELECT position FROM slow_1.handled ORDER BY n")
                .fetch_all(database.pool())
                .await
                .expect("rows");
        if handled == events {
            Ok(())
        } else {
            let open: Vec<String> = sqlx::query_scalar("SELECT concat_ws(' ', usename, state, wait_event, query) FROM pg_stat_activity WHERE datname = current_database() AND (state LIKE 'idle in%' OR wait_event_type = 'Lock')")
                .fetch_all(database.pool())
                .await
                .expect("sessions");
            Err(format!("handled are {handled:?} of {events:?}; open are {open:?}"))
        }
    })
    .await;
}
