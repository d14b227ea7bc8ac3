//! One database transaction of one lane: the lease, the guest's reads and writes, the checkpoint, the commit.
//!
//! All SQL of a guest goes through this type. A batch that is dropped without a commit is rolled back by closing its
//! connection, so that no half of it can ever be committed by somebody else.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use subscription::{Kind, Status};
use uuid::Uuid;

use super::append::{Appended, ExpectedVersion, append};
use super::leased::Leased;
use super::rows::Rows;
use super::statement::{self, Column, RowSet};
use super::subscriptions::{
    change_status, drop_subscription, empty_schema, notify_control, read_digest, read_status,
};
use super::value::Value;
use super::{Digest, Error, GuestError, LaneKey, NewEvent, Store, quote};

/// How long a transaction of `handle` may stand idle, or run one statement, before the server ends it: a frozen host
/// loses its lease. The host's own deadline comes first, see [`MAX_HANDLE_TIMEOUT_MS`].
const HANDLE_PATIENCE_MS: u32 = 60_000;

/// The same for `setup` and `teardown`, which may build indexes.
const DEFINE_PATIENCE_MS: u32 = 660_000;

/// Longest deadline for a call of `handle`, in milliseconds: below it the server still waits.
pub const MAX_HANDLE_TIMEOUT_MS: u64 = 50_000;

/// Longest deadline for `setup` and `teardown`, in milliseconds.
pub const MAX_SETUP_TIMEOUT_MS: u64 = 600_000;

/// What may be done in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Statements of `setup` and `teardown`: DDL is allowed.
    Define,
    /// Statements of `handle`.
    Handle,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A lost tail is replayed from the log, which is durable.
    Replayable,
    Durable,
}

impl Durability {
    /// Projectors are rebuilt from the log; the effects of processors are not.
    pub fn of(kind: Kind) -> Durability {
        match kind {
            Kind::Projector => Durability::Replayable,
            Kind::Processor => Durability::Durable,
        }
    }
}

/// The outcome of an attempt to take a lane.
pub enum Opening {
    Opened(Box<Batch>),
    /// Another host holds the lane, or the subscription is gone.
    Taken,
}

/// What the lane's rows said when the batch began.
#[derive(Clone, Debug)]
pub struct LaneState {
    pub position: i64,
    pub status: Status,
    pub module: Digest,
    pub generation: i32,
    pub boot_until: Option<i64>,
    /// While its line is handed over: how far it may go.
    pub ceiling: Option<i64>,
    /// It goes through history without effects.
    pub muted: bool,
    /// Failures so far, and at which event, when the last batch failed.
    pub attempts: i32,
    pub error_position: Option<i64>,
    pub retry_context: Option<String>,
}

/// An event that a guest appends, held back until just before the commit.
#[derive(Clone, Debug)]
pub struct PendingAppend {
    pub stream: String,
    pub expected: ExpectedVersion,
    pub events: Vec<NewEvent>,
}

/// The outcome of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// The checkpoint was not where this batch began: another host was faster, or the guest ended the transaction.
    Overtaken,
}

/// What a batch does to the status of its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Keep,
    /// From and to; when the status is another by now, the batch is committed all the same.
    Try(Status, Status),
    /// From and to; when the status is another by now, the batch is given up.
    Must(Status, Status),
}

impl Change {
    fn statuses(self) -> Option<(Status, Status)> {
        match self {
            Change::Keep => None,
            Change::Try(from, to) | Change::Must(from, to) => Some((from, to)),
        }
    }
}

/// An open batch.
pub struct Batch {
    connection: Option<Leased>,
    store: Store,
    key: LaneKey,
    state: LaneState,
    transaction_id: String,
    backend: i32,
    grant: Grant,
    rows: Rows,
    appends: Vec<PendingAppend>,
    /// The error that aborted the transaction.
    aborted: Option<GuestError>,
    /// A statement is under way; a batch dropped now must be ended on the server as well.
    busy: bool,
}

impl Batch {
    /// Begins a transaction and takes the lane, or says that somebody else has it.
    pub async fn open(
        store: &Store,
        key: &LaneKey,
        grant: Grant,
        durability: Durability,
    ) -> Result<Opening, Error> {
        let mut leased = Leased::new(store.pool().acquire().await?);
        let begin = begin_statement(&key.subscription, grant, durability);
        let connection = leased.get();
        sqlx::raw_sql(AssertSqlSafe(begin))
            .execute(&mut *connection)
            .await?;
        let row = sqlx::query(include_str!("sql/open_lane.sql"))
            .bind(&key.subscription)
            .bind(key.lane)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else {
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            leased.release();
            return Ok(Opening::Taken);
        };
        let state = LaneState {
            position: row.try_get("position")?,
            status: read_status(&row, &key.subscription)?,
            module: read_digest(&row, "module")?,
            generation: row.try_get("generation")?,
            boot_until: row.try_get("boot_until")?,
            ceiling: row.try_get("ceiling")?,
            muted: row.try_get("muted")?,
            attempts: row.try_get::<Option<i32>, _>("attempts")?.unwrap_or(0),
            error_position: row.try_get("error_position")?,
            retry_context: row.try_get("retry_context")?,
        };
        Ok(Opening::Opened(Box::new(Batch {
            rows: Rows::new(&key.subscription),
            connection: Some(leased),
            store: store.clone(),
            key: key.clone(),
            state,
            transaction_id: row.try_get("transaction_id")?,
            backend: row.try_get("backend")?,
            grant,
            appends: Vec::new(),
            aborted: None,
            busy: false,
        })))
    }

    /// What the lane's rows said when the batch began.
    pub fn state(&self) -> &LaneState {
        &self.state
    }

    pub fn key(&self) -> &LaneKey {
        &self.key
    }

    /// The error that aborted the transaction, if a statement failed.
    pub fn aborted(&self) -> Option<&GuestError> {
        self.aborted.as_ref()
    }

    /// Runs one statement of the guest and reads its rows.
    pub async fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<RowSet, GuestError> {
        self.before_statement(sql).await?;
        let result = statement::query(self.connection(), sql, parameters).await;
        self.after(result)
    }

    /// Runs one statement of the guest and counts the rows it touched.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, GuestError> {
        self.before_statement(sql).await?;
        let result = statement::execute(self.connection(), sql, parameters).await;
        self.after(result)
    }

    /// Runs one statement once for each list of parameters.
    pub async fn execute_many(
        &mut self,
        sql: &str,
        lists: &[Vec<Value>],
    ) -> Result<u64, GuestError> {
        self.before_statement(sql).await?;
        let result = statement::execute_many(self.connection(), sql, lists).await;
        self.after(result)
    }

    /// Runs one statement inside a savepoint: its failure undoes this statement only.
    pub async fn try_execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<u64, GuestError> {
        if let Err(refused) = self.admit(sql).await {
            // A refusal undoes nothing else either; only a database that is out of reach is more than that.
            return if refused.retryable {
                self.after(Err(refused))
            } else {
                Err(refused)
            };
        }
        self.flush_rows().await?;
        let result = self.in_savepoint(sql, parameters).await;
        match result {
            Ok(result) => {
                self.busy = false;
                result
            }
            Err(error) => self.after(Err(error)),
        }
    }

    /// The columns of a table of the guest and the places of its key.
    pub async fn describe_rows(
        &mut self,
        table: &str,
    ) -> Result<(Vec<Column>, Vec<u32>), GuestError> {
        let (connection, rows) = self.before_rows()?;
        let result = rows.describe(connection, table).await;
        self.after(result)
    }

    /// Rows by primary key; writes of this batch are seen.
    pub async fn get_rows(
        &mut self,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Option<Vec<Value>>>, GuestError> {
        let (connection, rows) = self.before_rows()?;
        let result = rows.get(connection, table, keys).await;
        self.after(result)
    }

    /// Buffers rows to write.
    pub async fn put_rows(&mut self, table: &str, new: Vec<Vec<Value>>) -> Result<(), GuestError> {
        let (connection, rows) = self.before_rows()?;
        let result = match rows.put(connection, table, new).await {
            Ok(()) if rows.is_full() => rows.flush(connection).await,
            other => other,
        };
        self.after(result)
    }

    /// Buffers rows to delete.
    pub async fn delete_rows(
        &mut self,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<(), GuestError> {
        let (connection, rows) = self.before_rows()?;
        let result = rows.delete(connection, table, keys).await;
        self.after(result)
    }

    /// Holds an append back until just before the commit: a transaction that appended and then waits would hold every
    /// horizon.
    pub fn append(&mut self, pending: PendingAppend) {
        self.appends.push(pending);
    }

    /// Writes what is buffered, so that a failure of it is known before the guest's success is believed.
    pub async fn flush(&mut self) -> Result<Vec<Appended>, GuestError> {
        let (connection, rows) = self.before_rows()?;
        let result = rows.flush(connection).await;
        self.after(result)?;
        let mut appended = Vec::new();
        for pending in std::mem::take(&mut self.appends) {
            self.busy = true;
            let result = append(
                self.connection(),
                &pending.stream,
                pending.expected,
                &pending.events,
            )
            .await;
            appended.extend(self.after(result.map_err(append_failure))?);
        }
        Ok(appended)
    }

    /// Moves the checkpoint, changes the status where the batch ends a phase, and commits. Buffered writes are out by now.
    pub async fn commit(mut self, to: i64, change: Change, host: Uuid) -> Result<Outcome, Error> {
        let (key, state, transaction_id) = (
            self.key.clone(),
            self.state.clone(),
            self.transaction_id.clone(),
        );
        self.busy = true;
        let connection = self.connection();
        let moved = sqlx::query(include_str!("sql/advance_checkpoint.sql"))
            .bind(&key.subscription)
            .bind(key.lane)
            .bind(state.position)
            .bind(to)
            .bind(transaction_id)
            .bind(host)
            .execute(&mut *connection)
            .await?;
        if moved.rows_affected() != 1 {
            return Ok(Outcome::Overtaken);
        }
        if state.attempts > 0 {
            sqlx::query(include_str!("sql/clear_error.sql"))
                .bind(&key.subscription)
                .bind(key.lane)
                .bind(to)
                .execute(&mut *connection)
                .await?;
        }
        if let Some((from, to)) = change.statuses() {
            let changed = change_status(connection, &key.subscription, from, to).await?;
            if !changed && matches!(change, Change::Must(..)) {
                return Ok(Outcome::Overtaken);
            }
            // An operator who changed the status meanwhile keeps his; the batch itself is good.
            if changed {
                notify_control(connection).await?;
            }
        }
        self.end("COMMIT").await?;
        Ok(Outcome::Committed)
    }

    /// Ends `teardown`: drops the schema and the rows of the subscription, in the same transaction.
    pub async fn commit_removal(mut self) -> Result<(), Error> {
        let subscription = self.key.subscription.clone();
        self.busy = true;
        drop_subscription(self.connection(), &subscription).await?;
        self.end("COMMIT").await
    }

    /// A new generation of the subscription, which begins behind `from`: what failed in the old one is forgotten.
    pub async fn begin_generation(&mut self, from: i64) -> Result<(), Error> {
        let subscription = self.key.subscription.clone();
        self.busy = true;
        sqlx::query(include_str!("sql/begin_generation.sql"))
            .bind(&subscription)
            .bind(from)
            .execute(self.connection())
            .await?;
        sqlx::query(include_str!("sql/reset_error.sql"))
            .bind(&subscription)
            .execute(self.connection())
            .await?;
        self.busy = false;
        Ok(())
    }

    /// Drops everything in the schema of the subscription, in the same transaction as what is made there anew.
    pub async fn empty_schema(&mut self) -> Result<(), Error> {
        let subscription = self.key.subscription.clone();
        self.busy = true;
        empty_schema(self.connection(), &subscription).await?;
        self.busy = false;
        Ok(())
    }

    /// Records an event as skipped, in the same transaction as the checkpoint that passes it.
    pub async fn record_skipped(
        &mut self,
        position: i64,
        skipped_by: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let subscription = self.key.subscription.clone();
        sqlx::query(include_str!("sql/record_skipped.sql"))
            .bind(subscription)
            .bind(position)
            .bind(skipped_by)
            .bind(reason)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Run mode once: fixes where the subscription is finished.
    pub async fn fix_boot_until(&mut self, position: i64) -> Result<(), Error> {
        let subscription = self.key.subscription.clone();
        sqlx::query(include_str!("sql/change_boot_until.sql"))
            .bind(subscription)
            .bind(position)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Gives everything up: nothing of the batch remains.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.busy = true;
        self.end("ROLLBACK").await
    }

    /// Whether another lane of this subscription is still behind `position`.
    pub async fn others_behind(&mut self, position: i64) -> Result<bool, Error> {
        let key = self.key.clone();
        Ok(
            sqlx::query_scalar(include_str!("sql/other_lanes_behind.sql"))
                .bind(key.subscription)
                .bind(key.lane)
                .bind(position)
                .fetch_one(self.connection())
                .await?,
        )
    }

    async fn end(&mut self, word: &'static str) -> Result<(), Error> {
        sqlx::raw_sql(word).execute(self.connection()).await?;
        self.busy = false;
        if let Some(leased) = self.connection.take() {
            leased.release();
        }
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection
            .as_mut()
            .expect("the connection is there until the batch ends")
            .get()
    }

    /// A statement that is refused ends the batch as one that fails does: a guest that goes on regardless has not handled
    /// anything.
    async fn before_statement(&mut self, sql: &str) -> Result<(), GuestError> {
        let admitted = self.admit(sql).await;
        self.after(admitted)?;
        self.flush_rows().await
    }

    async fn admit(&self, sql: &str) -> Result<(), GuestError> {
        match (&self.aborted, self.grant) {
            (Some(first), _) => Err(GuestError::aborted(first)),
            (None, Grant::Define) => Ok(()),
            (None, Grant::Handle) => self.store.admission().admit(self.store.pool(), sql).await,
        }
    }

    async fn flush_rows(&mut self) -> Result<(), GuestError> {
        let (connection, rows) = self.before_rows()?;
        let flushed = rows.flush(connection).await;
        rows.forget();
        self.after(flushed)?;
        self.busy = true;
        Ok(())
    }

    fn before_rows(&mut self) -> Result<(&mut PgConnection, &mut Rows), GuestError> {
        if let Some(first) = &self.aborted {
            return Err(GuestError::aborted(first));
        }
        self.busy = true;
        let leased = self
            .connection
            .as_mut()
            .expect("the connection is there until the batch ends");
        Ok((leased.get(), &mut self.rows))
    }

    /// An error of the server aborts the transaction; one of our own checks (a bad parameter) leaves it as it is.
    fn after<T>(&mut self, result: Result<T, GuestError>) -> Result<T, GuestError> {
        self.busy = false;
        if let Err(error) = &result
            && (error.sqlstate.is_some() || error.retryable || error.kind == "too-large")
        {
            self.aborted.get_or_insert_with(|| error.clone());
        }
        result
    }

    async fn in_savepoint(
        &mut self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Result<u64, GuestError>, GuestError> {
        let connection = self.connection();
        sqlx::raw_sql("SAVEPOINT statement")
            .execute(&mut *connection)
            .await?;
        let result = statement::execute(connection, sql, parameters).await;
        let end = if result.is_ok() {
            "RELEASE SAVEPOINT statement"
        } else {
            "ROLLBACK TO SAVEPOINT statement"
        };
        sqlx::raw_sql(end).execute(&mut *connection).await?;
        Ok(result)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.connection.is_some() && self.busy {
            // A statement may still run on the server and hold the lane.
            self.store
                .terminate(self.backend, std::mem::take(&mut self.transaction_id));
        }
    }
}

fn begin_statement(schema: &str, grant: Grant, durability: Durability) -> String {
    let patience_ms = match grant {
        Grant::Define => DEFINE_PATIENCE_MS,
        Grant::Handle => HANDLE_PATIENCE_MS,
    };
    let synchronous_commit = match durability {
        Durability::Replayable => "off",
        Durability::Durable => "on",
    };
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         SET LOCAL synchronous_commit = {synchronous_commit}; \
         SET LOCAL statement_timeout = {patience_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {patience_ms}; \
         SET LOCAL search_path = {}",
        quote(schema)
    )
}

/// A version conflict or a refused event is the guest's failure: the batch is rolled back and tried again.
fn append_failure(error: Error) -> GuestError {
    match error {
        Error::Database { source } => GuestError::from(source),
        other => GuestError {
            sqlstate: Some("PJ001".to_owned()),
            ..GuestError::new("database", other.to_string())
        },
    }
}
