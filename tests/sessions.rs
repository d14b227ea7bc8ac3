//! Sessions of the host's pool.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::support::TestDatabase;

/// Steps in which a transaction begins, and a few more: a session is taken and tried, then the server is asked.
const STEPS: usize = 8;

/// Whoever is given up while his transaction begins leaves no session in it: what the next one to use it does would be lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_that_is_given_up_leaves_no_transaction_open() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let mut observer = database.connect().await;
    for steps in 1..=STEPS {
        {
            let mut beginning = pin!(store.begin());
            for _ in 0..steps {
                let step = poll_fn(|context| Poll::Ready(beginning.as_mut().poll(context)));
                if step.await.is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'",
        )
        .fetch_one(&mut observer)
        .await
        .expect("sessions");
        assert_eq!(open, 0, "given up after {steps} steps");
    }
}
