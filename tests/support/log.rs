//! Events that tests append, and the record that the recording guests keep of them.

use std::time::Duration;

use projectionist::store::{
    Appended, ExpectedVersion, LaneError, NewEvent, ReadFilter, ReadLimit, RecordedEvent,
    Subscription,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use subscription::Criteria;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PATIENCE, TestDatabase, eventually};

/// The pause of somebody who appends continuously.
const APPENDER_PAUSE: Duration = Duration::from_millis(1);

/// A row of `seen`, which the recording guests write: one for each event.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Seen {
    pub position: i64,
    pub n: i64,
    pub code: String,
}

/// An event with data.
pub fn event(event_type: &str, data: &serde_json::Value) -> NewEvent {
    NewEvent {
        data: serde_json::value::to_raw_value(data).expect("JSON"),
        ..NewEvent::new(event_type)
    }
}

/// A session of a role that may append and do nothing else with the log.
pub struct Application {
    pub connection: PgConnection,
    role: String,
}

impl Application {
    /// Its role belongs to the cluster, so whoever made it lets it go.
    pub async fn leave(mut self) {
        let role = &self.role;
        let clean = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(clean))
            .execute(&mut self.connection)
            .await
            .expect("cleaned");
    }
}

impl TestDatabase {
    pub async fn application(&self) -> Application {
        let role = format!("app_{}", Uuid::new_v4().simple());
        let grants = format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA projectionist TO {role};
             GRANT EXECUTE ON FUNCTION projectionist.append(text, bigint, json) TO {role}; SET ROLE {role}"
        );
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(grants))
            .execute(&mut connection)
            .await
            .expect("granted");
        Application { connection, role }
    }

    /// Every event of the log, in order.
    pub async fn log(&self) -> Vec<RecordedEvent> {
        let all = ReadLimit {
            events: i64::MAX,
            bytes: usize::MAX,
        };
        let (store, everything) = (self.store(), ReadFilter::everything());
        let page = store.read_events(0, i64::MAX, &everything, all).await;
        page.expect("the log").events
    }

    /// Appends events to one stream.
    pub async fn append(&self, stream: &str, events: &[NewEvent]) -> Vec<Appended> {
        self.store()
            .append(stream, ExpectedVersion::Any, events)
            .await
            .expect("appended")
    }

    /// Appends so many events that nobody objects to; returns the position of the last.
    pub async fn append_ticks(&self, count: usize) -> i64 {
        let events = vec![event("Tick", &json!({})); count];
        let appended = self.append("ticks", &events).await;
        appended.last().map_or(0, |event| event.position)
    }

    /// Appends one event after the other until told to stop.
    pub fn append_continuously(&self) -> Appender {
        self.append_of_type_continuously("Tick", "ticks")
    }

    /// The same with events of a type in a stream.
    pub fn append_of_type_continuously(
        &self,
        event_type: &'static str,
        stream: &'static str,
    ) -> Appender {
        let (store, stop) = (self.store(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut count = 0;
            while !stopped.is_cancelled() {
                // A connection may be cut off by the test: the event then is appended or it is not.
                let tick = [event(event_type, &json!({}))];
                count += usize::from(
                    store
                        .append(stream, ExpectedVersion::Any, &tick)
                        .await
                        .is_ok(),
                );
                tokio::time::sleep(APPENDER_PAUSE).await;
            }
            count
        });
        Appender::new(stop, task)
    }

    /// What a recording guest wrote, in the order of the log.
    pub async fn seen(&self, schema: &str) -> Result<Vec<Seen>, sqlx::Error> {
        let select = format!("SELECT position, n, code FROM \"{schema}\".seen ORDER BY position");
        sqlx::query_as(AssertSqlSafe(select))
            .fetch_all(self.pool())
            .await
    }

    /// Waits until a recording guest has written so many rows or more.
    pub async fn until_seen(&self, schema: &str, count: usize) -> Vec<Seen> {
        eventually(PATIENCE, async || match self.seen(schema).await {
            Ok(rows) if rows.len() >= count => Ok(rows),
            Ok(rows) => Err(format!(
                "{} rows in {schema}, of {count}; it is {}",
                rows.len(),
                self.standing(schema).await
            )),
            Err(error) => Err(format!(
                "{error}; {schema} is {}",
                self.standing(schema).await
            )),
        })
        .await
    }

    /// Waits until a recording guest has seen the whole log, then demands: each event once, in the order of the log.
    pub async fn until_all_seen_once(&self, schema: &str) -> Vec<Seen> {
        let events: Vec<i64> =
            sqlx::query_scalar("SELECT position FROM projectionist.events ORDER BY position")
                .fetch_all(self.pool())
                .await
                .expect("positions");
        let seen = self.until_seen(schema, events.len()).await;
        assert_once(&events, &seen);
        seen
    }

    /// The subscription, which there is.
    pub async fn subscription(&self, id: &str) -> Subscription {
        self.store()
            .subscription(id)
            .await
            .expect("an answer")
            .unwrap_or_else(|| panic!("there is no subscription {id}"))
    }

    /// Its status, in words.
    pub async fn status(&self, id: &str) -> String {
        self.subscription(id).await.status.to_string()
    }

    /// Waits until there is such a subscription.
    pub async fn until_registered(&self, id: &str) {
        eventually(PATIENCE, async || {
            match self.store().subscription(id).await {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{id} is not registered: {:?}", other.err())),
            }
        })
        .await;
    }

    /// Waits until it has a status.
    pub async fn until_status(&self, id: &str, status: &str) {
        eventually(PATIENCE, async || {
            let standing = self.standing(id).await;
            match standing.split(',').next() == Some(status) {
                true => Ok(()),
                false => Err(format!("{id} is {standing}, not {status}")),
            }
        })
        .await;
    }

    /// The checkpoint of its one lane.
    pub async fn position(&self, id: &str) -> i64 {
        let lanes = self.store().lanes(Some(id)).await.expect("lanes");
        assert_eq!(lanes.len(), 1, "{id} has one lane");
        lanes[0].position
    }

    /// What holds its one lane up.
    pub async fn error(&self, id: &str) -> Option<LaneError> {
        let lanes = self.store().lanes(Some(id)).await.expect("lanes");
        lanes.into_iter().find_map(|lane| lane.error)
    }

    /// Whether a batch of it is open somewhere: its lane is taken.
    pub async fn in_a_batch(&self, id: &str) -> bool {
        let free: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM projectionist.checkpoints WHERE subscription = $1 FOR UPDATE SKIP LOCKED",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .expect("an answer");
        free.is_none()
    }

    /// Waits until a batch of it is open.
    pub async fn until_in_a_batch(&self, id: &str) {
        eventually(PATIENCE, async || match self.in_a_batch(id).await {
            true => Ok(()),
            false => Err(format!("no batch of {id} is open")),
        })
        .await;
    }

    /// Waits until no batch of it is open.
    pub async fn until_out_of_a_batch(&self, id: &str) {
        eventually(PATIENCE, async || match self.in_a_batch(id).await {
            false => Ok(()),
            true => Err(format!("a batch of {id} is still open")),
        })
        .await;
    }

    /// Status, position and error in one line, for messages.
    pub async fn standing(&self, id: &str) -> String {
        let Ok(Some(row)) = self.store().subscription(id).await else {
            return "not registered".to_owned();
        };
        let lanes = self.store().lanes(Some(id)).await.unwrap_or_default();
        let told = lanes.iter().map(|lane| {
            let error = lane.error.as_ref().map(|error| &error.message);
            format!(", at {}, error {error:?}", lane.position)
        });
        format!("{}{}", row.status, told.collect::<String>())
    }
}

/// Each event exactly once and in order: the rows are those of the log, and the guest's own count has no gap.
pub fn assert_once(events: &[i64], seen: &[Seen]) {
    let positions: Vec<i64> = seen.iter().map(|row| row.position).collect();
    assert_eq!(positions, events, "the events that were seen");
    let counts: Vec<i64> = seen.iter().map(|row| row.n).collect();
    let expected: Vec<i64> = (1..).take(seen.len()).collect();
    assert_eq!(counts, expected, "the guest's own count");
}

/// The codes by which events were seen, in order, each run of the same code once.
pub fn codes(seen: &[Seen]) -> Vec<&str> {
    let mut codes: Vec<&str> = seen.iter().map(|row| row.code.as_str()).collect();
    codes.dedup();
    codes
}

/// Somebody who appends until told to stop.
pub struct Appender {
    stop: CancellationToken,
    task: JoinHandle<usize>,
}

impl Appender {
    pub fn new(stop: CancellationToken, task: JoinHandle<usize>) -> Appender {
        Appender { stop, task }
    }

    /// Stops, and says how many events were appended.
    pub async fn stop(self) -> usize {
        self.stop.cancel();
        self.task.await.expect("the appender does not panic")
    }
}

/// Exactly this subscription.
pub fn only(id: &str) -> Criteria {
    Criteria {
        ids: vec![id.to_owned()],
        ..Criteria::default()
    }
}

/// The rows of one query that returns one column.
pub async fn column<T>(pool: &PgPool, query: &'static str) -> Vec<T>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query)
        .fetch_all(pool)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}
