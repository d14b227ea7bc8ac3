//! Appending through `projectionist.append`, on a connection of the caller or one of the pool.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Error, NewEvent, Store};

/// What the appender believes about the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    Any,
    NoStream,
    Exactly(i64),
}

/// Where an event is, in the order in which they were given. An event that was there before has its old place.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Appended {
    pub position: i64,
    pub id: Uuid,
    pub version: i64,
}

impl ExpectedVersion {
    pub(super) fn as_parameter(self) -> Option<i64> {
        match self {
            ExpectedVersion::Any => None,
            ExpectedVersion::NoStream => Some(0),
            ExpectedVersion::Exactly(version) => Some(version),
        }
    }
}

impl Store {
    /// Appends in a transaction of its own.
    pub async fn append(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<Vec<Appended>, Error> {
        let mut connection = self.pool().acquire().await.map_err(Error::from_statement)?;
        append(&mut connection, stream, expected, events).await
    }
}

/// Appends in the transaction that the connection is in.
pub async fn append(
    connection: &mut PgConnection,
    stream: &str,
    expected: ExpectedVersion,
    events: &[NewEvent],
) -> Result<Vec<Appended>, Error> {
    let body = serde_json::to_string(events).map_err(|source| Error::Encode { source })?;
    sqlx::query_as(include_str!("sql/append_events.sql"))
        .bind(stream)
        .bind(expected.as_parameter())
        .bind(body)
        .fetch_all(connection)
        .await
        .map_err(Error::from_statement)
}
