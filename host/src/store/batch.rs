//! One database transaction of one lane: the lease, the guest's reads and writes, the checkpoint, the commit.
//!
//! All SQL of a guest goes through this type. A batch that is dropped without a commit is rolled back by closing its
//! connection, so that no half of it can ever be committed by somebody else.

mod answering;
mod ending;
mod following;
mod opening;
mod presuming;

use std::time::Duration;

use sqlx::PgConnection;
use subscription::{Kind, Status};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::admission::admit_definition;
use super::append::{Appended, ExpectedVersion};
use super::leased::Leased;
use super::many::Known;
use super::proof::{Authority, digest};
use super::rows::{KeptRows, Rows, Writing};
use super::statement::{self, Column, Recent, RowSet};
use super::value::Value;
use super::walls::Duty;
use super::{Digest, Error, GuestError, LaneKey, NewEvent, Store};
use answering::Behind;
use presuming::Presumption;

/// How long a transaction of `handle` may stand idle, or run one statement, before the server ends it: a frozen host
/// loses its lease. The host's own deadline comes first, see [`MAX_HANDLE_TIMEOUT_MS`].
const HANDLE_PATIENCE_MS: u32 = 60_000;

/// The same for `setup` and `teardown`, which may build indexes.
const DEFINE_PATIENCE_MS: u32 = 660_000;

/// Longest deadline for a call of `handle`, in milliseconds: below it the server still waits.
pub const MAX_HANDLE_TIMEOUT_MS: u64 = 50_000;

/// Longest deadline for `setup` and `teardown`, in milliseconds.
pub const MAX_SETUP_TIMEOUT_MS: u64 = 600_000;

/// How long the server waits for a session of a role, in milliseconds.
pub(super) fn patience_ms(duty: Duty) -> u32 {
    match duty {
        Duty::Owner => DEFINE_PATIENCE_MS,
        Duty::Handler => HANDLE_PATIENCE_MS,
    }
}

/// What may be done in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Statements of `setup` and `teardown`: DDL is allowed.
    Define,
    /// Statements of `handle`.
    Handle,
}

impl Grant {
    fn duty(self) -> Duty {
        match self {
            Grant::Define => Duty::Owner,
            Grant::Handle => Duty::Handler,
        }
    }
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A lost tail is replayed from the log, which is durable.
    Replayable,
    Durable,
}

impl Durability {
    /// Projectors are rebuilt from the log, and so is what a processor builds while it is muted; effects are not.
    pub fn of(kind: Kind, is_muted: bool) -> Durability {
        match kind {
            Kind::Processor if !is_muted => Durability::Durable,
            Kind::Projector | Kind::Processor => Durability::Replayable,
        }
    }

    fn synchronous_commit(self) -> &'static str {
        match self {
            Durability::Replayable => "off",
            Durability::Durable => "on",
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
    /// The host whose batch moved the checkpoint last; `None`: an operator, or nobody yet.
    pub moved_by: Option<Uuid>,
}

/// An event that a guest appends, held back until just before the commit.
#[derive(Clone, Debug)]
pub struct PendingAppend {
    pub stream: String,
    pub expected: ExpectedVersion,
    pub events: Vec<NewEvent>,
}

impl PendingAppend {
    fn body(&self) -> Result<String, Error> {
        serde_json::to_string(&self.events).map_err(|source| Error::Encode { source })
    }
}

/// The outcome of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// The checkpoint was not where this batch began, or the status was changed: somebody else was faster.
    Overtaken,
    /// What the guest did cannot be committed: a constraint that is checked at the end, a transaction that it ended, something that
    /// it may not have. Nothing of the batch remains.
    Refused(GuestError),
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

/// Kinds of errors after which the transaction is of no use, although the server did not say so.
const ENDING_KINDS: [&str; 3] = ["too-large", "timeout", "connection-lost"];

/// Kinds of errors that leave a statement under way on the server.
const CUT_OFF_KINDS: [&str; 2] = ["too-large", "timeout"];

/// An open batch.
pub struct Batch {
    connection: Option<Leased>,
    store: Store,
    key: LaneKey,
    state: LaneState,
    authority: Authority,
    /// While its lane is not taken yet.
    presumed: Option<Presumption>,
    /// Empty before the lane is taken.
    transaction_id: String,
    backend: i32,
    grant: Grant,
    durability: Durability,
    rows: Rows,
    known: Known,
    recent: Recent,
    /// What remains of rows that went to the next batch.
    parted: Vec<Writing>,
    appends: Vec<PendingAppend>,
    /// The error that aborted the transaction.
    aborted: Option<GuestError>,
    /// A statement is under way; a batch dropped now must be ended on the server as well.
    busy: bool,
    behind: Behind,
    /// The batch before, which has to be committed before there is a session.
    before: Option<oneshot::Receiver<()>>,
    /// What the batch before wrote is known, so that what is not known is not of its making.
    knows_before: bool,
    /// Something was written, or may have been by a statement of the guest, that is not among the rows.
    has_written_unknown: bool,
    /// Of the guest's statements, see [`Batch::light_statements`].
    light: u64,
}

impl Batch {
    fn new(
        store: &Store,
        key: &LaneKey,
        grant: Grant,
        durability: Durability,
        state: LaneState,
        (leased, backend): (Leased, i32),
    ) -> Batch {
        let authority = leased.authority(&key.subscription);
        let mut batch = Batch::without_session(store, key, grant, durability, state, authority);
        (batch.connection, batch.backend) = (Some(leased), backend);
        batch
    }

    fn without_session(
        store: &Store,
        key: &LaneKey,
        grant: Grant,
        durability: Durability,
        state: LaneState,
        authority: Authority,
    ) -> Batch {
        Batch {
            authority,
            connection: None,
            store: store.clone(),
            key: key.clone(),
            state,
            presumed: None,
            transaction_id: String::new(),
            backend: 0,
            grant,
            durability,
            rows: Rows::new(&key.subscription),
            known: Known::default(),
            recent: Recent::default(),
            parted: Vec::new(),
            appends: Vec::new(),
            aborted: None,
            busy: false,
            behind: Behind::default(),
            before: None,
            knows_before: false,
            has_written_unknown: false,
            light: 0,
        }
    }

    /// What the lane's rows said when the batch began.
    pub fn state(&self) -> &LaneState {
        &self.state
    }

    pub fn key(&self) -> &LaneKey {
        &self.key
    }

    /// Goes on with what the last batch of this lane knew of rows, if it is still true.
    pub fn adopt(&mut self, kept: KeptRows, host: Uuid, passed_to: i64) {
        if kept.are_true_in(&self.state, host, passed_to) {
            self.rows = kept.rows;
        }
    }

    /// What the next batch of this lane may know, once this one is committed at `to`. Buffered writes are out by now.
    pub fn keep_rows(&mut self, to: i64) -> KeptRows {
        let rows = std::mem::replace(&mut self.rows, Rows::new(&self.key.subscription));
        KeptRows::new(rows, self.state.generation, to)
    }

    /// How many of the guest's statements do not count where it is asked whether a batch is full: lists of `execute-many` that overwrite
    /// little of this transaction.
    pub fn light_statements(&self) -> u64 {
        self.light
    }

    /// The error that aborted the transaction, if a statement failed.
    pub fn aborted(&self) -> Option<&GuestError> {
        self.aborted.as_ref()
    }

    /// Runs one statement of the guest and reads its rows.
    pub async fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<RowSet, GuestError> {
        self.before_statement(sql).await?;
        let patience = self.patience();
        let (connection, recent) = self.session();
        let work = statement::query(connection, recent, sql, parameters);
        let result = bounded(patience, work).await;
        self.after(result.map_err(GuestError::of_the_guest))
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
        self.take_lane().await?;
        self.flush_rows().await?;
        let patience = self.patience();
        let result = bounded(patience, self.in_savepoint(sql, parameters)).await;
        match result.map_err(GuestError::of_the_guest) {
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
        let (connection, rows) = self.before_known(table, &[]).await?;
        let result = rows.describe(connection, table).await;
        self.after(result)
    }

    /// Rows by primary key; writes of this batch are seen.
    pub async fn get_rows(
        &mut self,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Option<Vec<Value>>>, GuestError> {
        let (connection, rows) = self.before_known(table, &keys).await?;
        let result = rows.get(connection, table, keys).await;
        self.after(result)
    }

    /// Buffers rows to write.
    pub async fn put_rows(&mut self, table: &str, new: Vec<Vec<Value>>) -> Result<(), GuestError> {
        let (connection, rows) = self.before_known(table, &[]).await?;
        let result = rows.put(connection, table, new).await;
        let is_full = rows.is_full();
        self.after(result)?;
        if is_full {
            self.has_written_unknown = true;
            self.take_lane().await?;
            let (connection, rows) = self.before_rows().await?;
            let result = rows.flush(connection).await;
            self.after(result)?;
        }
        Ok(())
    }

    /// Buffers rows to delete.
    pub async fn delete_rows(
        &mut self,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<(), GuestError> {
        let (connection, rows) = self.before_known(table, &[]).await?;
        let result = rows.delete(connection, table, keys).await;
        self.after(result)
    }

    /// Holds an append back until just before the commit: a transaction that appended and then waits would hold every
    /// horizon.
    pub fn append(&mut self, pending: PendingAppend) {
        self.appends.push(pending);
    }

    /// Writes what is buffered, so that a failure of it is known before the guest's success is believed; unless one statement will do that
    /// and all the rest.
    pub async fn flush(&mut self) -> Result<Vec<Appended>, GuestError> {
        self.check_aborted()?;
        if self.ends_at_once() {
            return Ok(Vec::new());
        }
        self.take_lane().await?;
        let patience = self.patience();
        for writing in std::mem::take(&mut self.parted) {
            let (connection, _) = self.before_rows().await?;
            let result = bounded(patience, writing.run(connection)).await;
            self.after(result)?;
        }
        let (connection, rows) = self.before_rows().await?;
        let result = bounded(patience, rows.flush(connection)).await;
        self.after(result)?;
        let mut appended = Vec::new();
        for pending in std::mem::take(&mut self.appends) {
            self.busy = true;
            let result = bounded(patience, async {
                self.flush_append(pending).await.map_err(append_failure)
            })
            .await;
            appended.extend(self.after(result)?);
        }
        Ok(appended)
    }

    async fn flush_append(&mut self, pending: PendingAppend) -> Result<Vec<Appended>, Error> {
        let body = pending.body()?;
        let expected = pending.expected.as_parameter();
        let words = [
            "append",
            &digest(&pending.stream),
            &expected.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            &digest(&body),
        ];
        let proof = self.proof(&words);
        let subscription = self.authority.subscription().map(str::to_owned);
        sqlx::query_as(include_str!("sql/append_in_batch.sql"))
            .bind(pending.stream)
            .bind(expected)
            .bind(body)
            .bind(subscription)
            .bind(proof)
            .fetch_all(self.connection())
            .await
            .map_err(Error::from_statement)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.session().0
    }

    /// The connection for a statement of the guest, and what is known of the last ones.
    fn session(&mut self) -> (&mut PgConnection, &mut Recent) {
        (at_hand(&mut self.connection), &mut self.recent)
    }

    /// A statement that is refused ends the batch as one that fails does: a guest that goes on regardless has not handled
    /// anything.
    async fn before_statement(&mut self, sql: &str) -> Result<(), GuestError> {
        self.admit_statement(sql).await?;
        self.before_admitted().await
    }

    async fn admit_statement(&mut self, sql: &str) -> Result<(), GuestError> {
        let admitted = self.admit(sql).await;
        self.after(admitted)
    }

    async fn before_admitted(&mut self) -> Result<(), GuestError> {
        self.take_lane().await?;
        self.flush_rows().await
    }

    async fn admit(&mut self, sql: &str) -> Result<(), GuestError> {
        self.check_aborted()?;
        match self.grant {
            Grant::Define => {
                // Tables are changed there between two statements.
                (self.known, self.recent) = Default::default();
                admit_definition(sql)
            }
            Grant::Handle if self.recent.knows(sql) => Ok(()),
            Grant::Handle => self.store.admission().admit(self.store.pool(), sql).await,
        }
    }

    fn check_aborted(&self) -> Result<(), GuestError> {
        let first = self.aborted.as_ref();
        first.map_or(Ok(()), |first| Err(GuestError::aborted(first)))
    }

    async fn flush_rows(&mut self) -> Result<(), GuestError> {
        self.has_written_unknown = true;
        let (connection, rows) = self.before_rows().await?;
        let flushed = rows.flush(connection).await;
        rows.forget();
        self.after(flushed)?;
        self.busy = true;
        Ok(())
    }

    async fn before_rows(&mut self) -> Result<(&mut PgConnection, &mut Rows), GuestError> {
        self.check_aborted()?;
        self.catch_up().await?;
        self.busy = true;
        Ok((at_hand(&mut self.connection), &mut self.rows))
    }

    /// An error of the server aborts the transaction; one of our own checks (a bad parameter) leaves it as it is.
    fn after<T>(&mut self, result: Result<T, GuestError>) -> Result<T, GuestError> {
        // What was cut off is still under way on the server.
        self.busy = matches!(&result, Err(error) if error.sqlstate.is_none() && CUT_OFF_KINDS.contains(&error.kind));
        if let Err(error) = &result
            && (error.sqlstate.is_some() || error.retryable || ENDING_KINDS.contains(&error.kind))
        {
            self.aborted.get_or_insert_with(|| error.clone());
        }
        result
    }

    /// Whether something is under way that the server has to be told to end.
    fn is_busy(&self) -> bool {
        (self.connection.is_some() && self.busy) || self.behind.is_running()
    }

    /// How long a host call may wait for the database.
    fn patience(&self) -> Duration {
        Duration::from_millis(patience_ms(self.grant.duty()).into())
    }

    async fn in_savepoint(
        &mut self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Result<u64, GuestError>, GuestError> {
        let (connection, recent) = self.session();
        sqlx::raw_sql("SAVEPOINT statement")
            .execute(&mut *connection)
            .await?;
        let result = match recent.bind(connection, sql, parameters).await {
            Ok(bound) => bound.execute(connection).await,
            Err(refused) => Err(refused),
        };
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
        if self.is_busy() {
            // A statement may still run on the server and hold the lane.
            self.store
                .end_transaction(self.backend, std::mem::take(&mut self.transaction_id));
        }
    }
}

/// The connection of a batch that has a session.
fn at_hand(connection: &mut Option<Leased>) -> &mut PgConnection {
    let leased = connection.as_mut();
    leased
        .expect("the connection is there until the batch ends")
        .get()
}

/// A wall-clock bound round what waits for the server: its own time-outs can be changed by who runs on it.
async fn bounded<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, GuestError>>,
) -> Result<T, GuestError> {
    let answered = tokio::time::timeout(patience, work).await;
    answered.unwrap_or_else(|_| Err(too_slow(patience)))
}

fn too_slow(patience: Duration) -> GuestError {
    let seconds = patience.as_secs();
    GuestError::new(
        "timeout",
        format!("the database did not answer within {seconds} s"),
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
