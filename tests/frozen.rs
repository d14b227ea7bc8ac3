//! A host that is frozen in the middle of a batch holds its lane by the session that it left open, until another host ends that.

use std::time::{Duration, Instant};

use projectionist::engine::STUCK_TIMES_VARIABLE;

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
            Err(format!("handled are {handled:?} of {events:?}"))
        }
    })
    .await;
}
