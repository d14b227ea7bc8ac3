//! One stream, read in the order of its versions.

use sqlx::AssertSqlSafe;
use subscription::EventParts;

use super::{Error, ReadLimit, RecordedEvent, Store};

impl Store {
    /// Events of a stream from `from_version` on, none past the position `up_to`, as many as the limit lets through: one
    /// at least, if there is one.
    pub async fn read_stream(
        &self,
        stream: &str,
        from_version: i64,
        up_to: i64,
        limit: ReadLimit,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let sql = self.source().render(include_str!("sql/read_stream.sql"));
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(stream)
            .bind(from_version)
            .bind(up_to)
            .bind(limit.events);
        self.read_some(query, EventParts::ALL, limit.bytes).await
    }
}
