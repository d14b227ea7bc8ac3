//! Up to where the log is settled, for commands that look at it once.

use std::time::Duration;

use super::{Error, Horizon, Store};

/// Between two looks at writers that have not ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Store {
    /// The present head, once nothing can appear below it any more. Waits for open writers, however long they take.
    pub async fn settled_head(&self) -> Result<i64, Error> {
        let mut horizon = Horizon::new(self.clone());
        loop {
            if let Some(settled) = horizon.look().await?.horizon {
                return Ok(settled);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
