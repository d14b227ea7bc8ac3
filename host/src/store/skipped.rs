//! Events that a guest or an operator skipped: what a read model lacks, and why.

use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use super::{Error, Store};

/// One row of `skipped_events`, with what the log says of the event.
#[derive(Clone, Debug)]
pub struct SkippedEvent {
    pub subscription: String,
    pub position: i64,
    /// The generation of the subscription that skipped it; a rewind begins another one.
    pub generation: i32,
    /// `guest` or `operator`.
    pub skipped_by: String,
    pub reason: String,
    pub skipped_at: OffsetDateTime,
    /// When its processor handled it after all.
    pub replayed_at: Option<OffsetDateTime>,
    /// `None`: the log does not hold the event any more.
    pub stream: Option<String>,
    pub event_type: Option<String>,
}

impl Store {
    /// What these subscriptions skipped, by subscription, generation and position; with `position` that event alone.
    pub async fn skipped_events(
        &self,
        subscriptions: &[String],
        position: Option<i64>,
        limit: i64,
    ) -> Result<Vec<SkippedEvent>, Error> {
        let sql = self.source().render(include_str!("sql/list_skipped.sql"));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(subscriptions)
            .bind(position)
            .bind(limit)
            .fetch_all(self.pool())
            .await
            .map_err(Error::from_statement)?;
        rows.iter()
            .map(|row| {
                Ok(SkippedEvent {
                    subscription: row.try_get("subscription")?,
                    position: row.try_get("position")?,
                    generation: row.try_get("generation")?,
                    skipped_by: row.try_get("skipped_by")?,
                    reason: row.try_get("reason")?,
                    skipped_at: row.try_get("skipped_at")?,
                    replayed_at: row.try_get("replayed_at")?,
                    stream: row.try_get("stream")?,
                    event_type: row.try_get("event_type")?,
                })
            })
            .collect()
    }
}
