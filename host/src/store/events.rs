//! Reading the log, in the order of positions.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use subscription::EventParts;
use tokio::sync::OwnedSemaphorePermit;

use super::kept_connection::KeptConnection;
use super::{Error, ReadFilter, RecordedEvent, Store};

const READ_EVENTS: &str = include_str!("sql/read_events.sql");

/// How much one read returns at most. At least one event is returned, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    pub events: i64,
    pub bytes: usize,
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What matched, ascending.
    pub events: Vec<RecordedEvent>,
    /// Everything that matches up to this position is in `events`: where the next read goes on, and how far a checkpoint may
    /// move. Beyond the last event when events after it were filtered out.
    pub up_to: i64,
}

impl Store {
    /// Reads what matches in `(after, up_to]`.
    ///
    /// Positions up to `up_to` have to be settled, which is the caller's to know: below the horizon they are.
    pub async fn read_events(
        &self,
        after: i64,
        up_to: i64,
        filter: &ReadFilter,
        limit: ReadLimit,
    ) -> Result<Page, Error> {
        let query = self.events(READ_EVENTS, after, up_to, filter, limit);
        let events = self.read_some(query, filter.parts(), limit.bytes).await?;
        Ok(page(events, up_to, limit))
    }

    /// Begins to read what matches up to `up_to`, page by page.
    pub fn reading(&self, filter: ReadFilter, up_to: i64) -> Reading {
        Reading {
            connection: KeptConnection::of(self.pool()),
            place: None,
            store: self.clone(),
            filter,
            up_to,
        }
    }

    /// Reads all events over a connection that is at hand, by [the statement](Store::statement_for_all) for that.
    pub(super) async fn read_all_over(
        connection: &mut KeptConnection,
        statement: &Arc<str>,
        after: i64,
        limit: ReadLimit,
    ) -> Result<Page, Error> {
        let up_to = i64::MAX;
        let query = sqlx::query(AssertSqlSafe(Arc::clone(statement)))
            .bind(after)
            .bind(up_to)
            .bind(limit.events);
        let events = read_over(connection, query, EventParts::ALL, limit.bytes).await?;
        Ok(page(events, up_to, limit))
    }

    /// The statement that reads every event, whole. To put it together takes longer than to send it.
    pub(super) fn statement_for_all(&self) -> Arc<str> {
        let (sql, _) = self.statement(READ_EVENTS, &ReadFilter::everything());
        sql.into()
    }

    /// Reads the newest that match in `(after, up_to]`, ascending.
    pub async fn read_last_events(
        &self,
        after: i64,
        up_to: i64,
        filter: &ReadFilter,
        limit: ReadLimit,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let statement = include_str!("sql/read_last_events.sql");
        let query = self.events(statement, after, up_to, filter, limit);
        let mut events = self.read_some(query, filter.parts(), limit.bytes).await?;
        events.reverse();
        Ok(events)
    }

    /// The highest position that can be seen now; 0 in an empty log. Lower ones may still appear.
    pub async fn head(&self) -> Result<i64, Error> {
        let sql = self.source().render(include_str!("sql/read_head.sql"));
        let head: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(self.pool())
            .await
            .map_err(Error::from_statement)?;
        Ok(head.unwrap_or(0))
    }

    fn events(
        &self,
        statement: &str,
        after: i64,
        up_to: i64,
        filter: &ReadFilter,
        limit: ReadLimit,
    ) -> Query<'static, Postgres, PgArguments> {
        let (sql, parameters) = self.statement(statement, filter);
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(up_to)
            .bind(limit.events);
        for parameter in parameters {
            query = query.bind(parameter);
        }
        query
    }

    /// The text for a filter, and the parameters that it adds.
    fn statement(&self, statement: &str, filter: &ReadFilter) -> (String, Vec<Vec<String>>) {
        const FIXED_PARAMETERS: usize = 3;
        let (condition, parameters) = filter.to_sql(FIXED_PARAMETERS + 1);
        let statement = filter.prune(statement).replace("{filter}", &condition);
        (self.source().render(&statement), parameters)
    }

    /// The events of a statement, or those parts of them, until there are so many bytes, and the one that brings them there.
    pub(super) async fn read_some(
        &self,
        query: Query<'_, Postgres, PgArguments>,
        parts: EventParts,
        bytes_max: usize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mut connection = KeptConnection::of(self.pool());
        read_over(&mut connection, query, parts, bytes_max).await
    }
}

/// Reads on, page by page, over one connection while there is one to spare. Each process of the server finds the log's pages in memory for
/// itself: to change it with each page took a sixth more of its time.
pub struct Reading {
    store: Store,
    filter: ReadFilter,
    up_to: i64,
    connection: KeptConnection,
    /// Of those who may keep a connection.
    place: Option<OwnedSemaphorePermit>,
}

impl Reading {
    /// What comes behind `after`; see [`Store::read_events`].
    pub async fn page(&mut self, after: i64, limit: ReadLimit) -> Result<Page, Error> {
        let (parts, up_to) = (self.filter.parts(), self.up_to);
        if self.place.is_none() {
            let places = Arc::clone(&self.store.readers);
            self.place = places.try_acquire_owned().ok();
        }
        let query = self
            .store
            .events(READ_EVENTS, after, up_to, &self.filter, limit);
        let events = read_over(&mut self.connection, query, parts, limit.bytes).await?;
        if self.place.is_none() {
            self.connection.rest();
        }
        Ok(page(events, up_to, limit))
    }
}

/// The same as [`Store::read_some`] over a connection that is at hand. It is lost where the server has more to say: to hear that out could take
/// gigabytes, a new connection takes milliseconds.
async fn read_over(
    connection: &mut KeptConnection,
    query: Query<'_, Postgres, PgArguments>,
    parts: EventParts,
    bytes_max: usize,
) -> Result<Vec<RecordedEvent>, Error> {
    let answering = connection.get().await.map_err(Error::from_statement)?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    let mut rows = query.fetch(answering);
    while let Some(row) = rows.try_next().await.map_err(Error::from_statement)? {
        let event = RecordedEvent::decode(&row, parts)?;
        bytes += event.size_bytes();
        events.push(event);
        if bytes >= bytes_max {
            drop(rows);
            connection.lose();
            break;
        }
    }
    Ok(events)
}

fn page(events: Vec<RecordedEvent>, up_to: i64, limit: ReadLimit) -> Page {
    let complete = (events.len() as i64) < limit.events && total_bytes(&events) < limit.bytes;
    let up_to = match events.last() {
        Some(last) if !complete => last.position,
        _ => up_to,
    };
    Page { events, up_to }
}

fn total_bytes(events: &[RecordedEvent]) -> usize {
    events.iter().map(RecordedEvent::size_bytes).sum()
}
