//! One stream, read in the order of its versions.

use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;

use super::events::decode;
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
        let mut connection = self.pool().acquire().await.map_err(Error::from_statement)?;
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(Error::from_statement)? {
            let event = decode(&row)?;
            bytes += event.size_bytes();
            events.push(event);
            if bytes >= limit.bytes {
                break;
            }
        }
        drop(rows);
        if bytes >= limit.bytes {
            // The server has more to say; a new connection is cheaper than to hear it out.
            drop(connection.detach());
        }
        Ok(events)
    }
}
