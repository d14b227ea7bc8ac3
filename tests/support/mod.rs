//! What tests share: a server, a database each, the guests, and waiting for a condition.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks until the answer is `Ok`, and panics with the last `Err` after `timeout`.
pub async fn eventually<T, E: Display>(
    timeout: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(last) if began.elapsed() > timeout => {
                panic!("not within {timeout:?}; the last answer was: {last}")
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
