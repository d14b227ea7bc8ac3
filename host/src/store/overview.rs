//! What `status` asks besides the rows: the server's clock, and how many events lie between two positions.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::{Error, Store};

impl Store {
    /// The time by the server's clock, which all other times here are by.
    pub async fn clock(&self) -> Result<OffsetDateTime, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/read_clock.sql"))
            .fetch_one(self.pool())
            .await?)
    }

    /// The number of events in `(after, up_to]` that can be seen, at most `limit`.
    pub async fn count_events(&self, after: i64, up_to: i64, limit: i64) -> Result<i64, Error> {
        let sql = self.source().render(include_str!("sql/count_events.sql"));
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(after)
            .bind(up_to)
            .bind(limit)
            .fetch_one(self.pool())
            .await
            .map_err(Error::from_statement)
    }

    /// The position behind which is every event that was recorded at `time` or later; the head if there is none.
    pub async fn position_before(&self, time: OffsetDateTime) -> Result<i64, Error> {
        let sql = self
            .source()
            .render(include_str!("sql/position_before.sql"));
        let position: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(time)
            .fetch_one(self.pool())
            .await
            .map_err(Error::from_statement)?;
        match position {
            Some(position) => Ok(position),
            None => self.head().await,
        }
    }
}
