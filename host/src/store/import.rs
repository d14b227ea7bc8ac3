//! Writing events in bulk: chunks in transactions of their own, each of which takes its numbers itself.
//!
//! Versions are computed here and proven by the unique index: whoever appended to a stream meanwhile makes the chunk fail,
//! and it is written again with what is there then. The same index over ids makes a repeated import harmless.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::copy_format::CopyRows;
use super::{Error, NewEvent, Store};

/// How often a chunk is written again because others append to the same streams.
const ATTEMPTS: u32 = 50;
/// Streams whose versions are kept in mind between chunks.
const KNOWN_STREAMS: usize = 200_000;
/// Columns that COPY is given.
const COLUMNS: i16 = 10;

/// A line of a file that is an event.
#[derive(Clone, Debug)]
pub struct ImportLine {
    /// From 1.
    pub number: u64,
    pub id: Uuid,
    pub stream: String,
    pub event: NewEvent,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub imported: u64,
    /// Events whose id their stream had before.
    pub already_there: u64,
}

/// Writes chunk after chunk.
pub struct Importer {
    store: Store,
    /// The last version of streams, as far as this importer has seen them. A stale one fails at the index.
    versions: HashMap<String, i64>,
    ids: Ids,
}

/// Whether ids are looked up before writing. A file is mostly all new or, up to some line, all there, so what the last chunk
/// showed is a good guess; a wrong one fails at the index and costs one more attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    LookedUp,
    TakenForNew,
}

impl Importer {
    pub fn new(store: &Store) -> Importer {
        Importer {
            store: store.clone(),
            versions: HashMap::new(),
            ids: Ids::LookedUp,
        }
    }

    /// Writes one chunk in one transaction.
    pub async fn write(&mut self, chunk: &[ImportLine]) -> Result<Written, Error> {
        for attempt in 1.. {
            match self.try_write(chunk).await {
                Err(error) if attempt < ATTEMPTS && is_race(&error) => {
                    self.versions.clear();
                    self.ids = Ids::LookedUp;
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt))).await;
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn try_write(&mut self, chunk: &[ImportLine]) -> Result<Written, Error> {
        let mut transaction = self.store.begin().await.map_err(Error::from_statement)?;
        // An event lost in a crash after somebody saw it would give its number to another event.
        sqlx::query(include_str!("sql/commit_durably.sql"))
            .execute(&mut *transaction)
            .await?;
        let fresh = self.fresh(&mut transaction, chunk).await?;
        let written = Written {
            imported: fresh.len() as u64,
            already_there: (chunk.len() - fresh.len()) as u64,
        };
        if fresh.is_empty() {
            return Ok(written);
        }
        let versions = self.assign_versions(&mut transaction, &fresh).await?;
        let now = clock(&mut transaction).await?;

        let size_bytes = fresh
            .iter()
            .map(|line| line.event.data.get().len() + 400)
            .sum();
        let mut rows = CopyRows::with_capacity(size_bytes);
        for (line, version) in fresh.iter().zip(&versions) {
            add_row(&mut rows, line, *version, now);
        }
        let mut copy = transaction
            .copy_in_raw(include_str!("sql/copy_events.sql"))
            .await?;
        copy.send(rows.finish()).await?;
        // Not sorted by `from_statement`: an id that is taken may be a race, which the next attempt finds out.
        copy.finish().await?;
        transaction.commit().await.map_err(Error::from_statement)?;

        for (line, version) in fresh.iter().zip(&versions) {
            match self.versions.get_mut(&line.stream) {
                Some(last) => *last = *version,
                None => drop(self.versions.insert(line.stream.clone(), *version)),
            }
        }
        self.ids = if written.already_there == 0 {
            Ids::TakenForNew
        } else {
            Ids::LookedUp
        };
        Ok(written)
    }

    /// The lines whose ids are not stored, each id once.
    async fn fresh<'a>(
        &self,
        connection: &mut PgConnection,
        chunk: &'a [ImportLine],
    ) -> Result<Vec<&'a ImportLine>, Error> {
        let mut seen: HashMap<Uuid, (String, String)> = HashMap::new();
        if self.ids == Ids::LookedUp {
            let ids: Vec<Uuid> = chunk.iter().map(|line| line.id).collect();
            let rows = sqlx::query(include_str!("sql/select_stored_ids.sql"))
                .bind(ids)
                .fetch_all(connection)
                .await
                .map_err(Error::from_statement)?;
            for row in rows {
                seen.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
        }
        let mut here: HashMap<Uuid, &ImportLine> = HashMap::with_capacity(chunk.len());
        let mut fresh = Vec::with_capacity(chunk.len());
        for line in chunk {
            let other = match (seen.get(&line.id), here.get(&line.id)) {
                (Some((stream, event_type)), _) => (stream.as_str(), event_type.as_str()),
                (None, Some(other)) => (other.stream.as_str(), other.event.event_type.as_str()),
                (None, None) => {
                    here.insert(line.id, line);
                    fresh.push(line);
                    continue;
                }
            };
            if other != (line.stream.as_str(), line.event.event_type.as_str()) {
                return Err(taken(line, other));
            }
        }
        Ok(fresh)
    }

    /// A version for each line, in their order.
    async fn assign_versions(
        &mut self,
        connection: &mut PgConnection,
        fresh: &[&ImportLine],
    ) -> Result<Vec<i64>, Error> {
        if self.versions.len() > KNOWN_STREAMS {
            self.versions.clear();
        }
        let unknown: HashSet<&str> = fresh
            .iter()
            .map(|line| line.stream.as_str())
            .filter(|stream| !self.versions.contains_key(*stream))
            .collect();
        let mut found: HashMap<String, i64> = HashMap::with_capacity(unknown.len());
        if !unknown.is_empty() {
            let unknown: Vec<&str> = unknown.into_iter().collect();
            let rows = sqlx::query(include_str!("sql/select_stream_versions.sql"))
                .bind(unknown)
                .fetch_all(connection)
                .await
                .map_err(Error::from_statement)?;
            for row in rows {
                found.insert(row.try_get(0)?, row.try_get(1)?);
            }
        }
        let mut next: HashMap<&str, i64> = HashMap::with_capacity(fresh.len());
        let known = &self.versions;
        let last = |stream: &str| {
            known
                .get(stream)
                .or_else(|| found.get(stream))
                .copied()
                .unwrap_or(0)
        };
        let assigned = fresh.iter().map(|line| {
            let version = next
                .entry(&line.stream)
                .or_insert_with(|| last(&line.stream));
            *version += 1;
            *version
        });
        Ok(assigned.collect())
    }
}

async fn clock(connection: &mut PgConnection) -> Result<OffsetDateTime, Error> {
    Ok(sqlx::query_scalar(include_str!("sql/read_clock.sql"))
        .fetch_one(connection)
        .await?)
}

fn add_row(rows: &mut CopyRows, line: &ImportLine, version: i64, now: OffsetDateTime) {
    let event = &line.event;
    rows.row(COLUMNS);
    rows.uuid(Some(line.id));
    rows.text(&line.stream);
    rows.bigint(version);
    rows.text(&event.event_type);
    rows.text(event.data.get());
    rows.text(event.metadata.get());
    rows.uuid(event.causation_id);
    rows.uuid(event.correlation_id);
    rows.texts(&event.tags);
    rows.timestamp(event.recorded_at.unwrap_or(now));
}

fn taken(line: &ImportLine, (stream, event_type): (&str, &str)) -> Error {
    let message = format!(
        "line {}: the id {} belongs to another event: {event_type:?} in stream {stream:?}, not {:?} in stream {:?}",
        line.number, line.id, line.event.event_type, line.stream
    );
    Error::IdTaken { message }
}

/// Somebody else wrote to the same streams, or the same events: a unique index or a deadlock said so.
fn is_race(error: &Error) -> bool {
    let Error::Database { source } = error else {
        return false;
    };
    let code = source
        .as_database_error()
        .and_then(|refusal| refusal.code());
    matches!(code.as_deref(), Some("23505" | "40P01"))
}
