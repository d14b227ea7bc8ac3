//! One stream, read in the order of its versions.

use sqlx::AssertSqlSafe;

use super::events::decode;
use super::{Error, RecordedEvent, Store};

impl Store {
    /// Events of a stream from `from_version` on, none past the position `up_to`.
    pub async fn read_stream(
        &self,
        stream: &str,
        from_version: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let sql = self.source().render(include_str!("sql/read_stream.sql"));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(stream)
            .bind(from_version)
            .bind(up_to)
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await
            .map_err(Error::from_statement)?;
        rows.iter().map(decode).collect()
    }
}
