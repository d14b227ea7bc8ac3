//! Up to where the log is settled, for commands that look at it for themselves.
//!
//! The simple form of the horizon: whoever holds the sequence when the head was read may still add below it, so the head is
//! settled when all of those have ended. A host does better, by looking for holes first.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{Error, Store};

/// Between two looks at writers that have not ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Store {
    /// The present head, once nothing can appear below it any more. Waits for open writers, however long they take.
    pub async fn settled_head(&self) -> Result<i64, Error> {
        let head = self.head().await?;
        let mut open = self.writers().await?;
        while !open.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
            let still = self.writers().await?;
            open.retain(|writer| still.contains(writer));
        }
        Ok(head)
    }

    /// The transactions that have taken a number and have not ended.
    async fn writers(&self) -> Result<HashSet<String>, Error> {
        let sql = self.source().render(include_str!("sql/list_writers.sql"));
        let writers: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.pool())
            .await?;
        Ok(writers.into_iter().collect())
    }
}
