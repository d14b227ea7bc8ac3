//! Floor 1: everything that speaks to PostgreSQL. One statement a file, in `sql/`.

mod activation;
mod admission;
pub mod append;
mod batch;
mod bell;
mod copy_format;
mod error;
mod events;
mod failpoint;
mod filter;
mod guest_error;
mod handover;
mod health;
mod horizon;
mod hosts;
mod import;
mod kept_connection;
mod lanes;
mod leased;
mod line;
mod listener;
mod many;
mod modules;
mod new_event;
mod overview;
mod passed;
mod proof;
mod recorded_event;
mod refreshing;
mod reports;
mod retire;
mod role_pool;
mod rows;
mod settled;
mod skipped;
mod source;
mod statement;
mod streams;
mod subscriptions;
mod switch;
mod tokens;
pub mod value;
mod walls;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Postgres, Transaction};
use tokio::sync::Semaphore;

pub use activation::{Intended, Unseen};
pub use admission::MAX_STATEMENT_BYTES;
pub use append::{Appended, ExpectedVersion};
pub use batch::{
    Batch, Change, Durability, Grant, LaneState, MAX_HANDLE_TIMEOUT_MS, MAX_SETUP_TIMEOUT_MS,
    Opening, Outcome, PendingAppend,
};
pub use bell::Armed;
pub use error::Error;
pub use events::{Page, ReadLimit, Reading};
pub use failpoint::{
    BATCH_FAILPOINTS, FAILPOINT_VARIABLE, FAILPOINTS, REWIND_FAILPOINTS, failpoint,
};
pub use filter::ReadFilter;
pub use guest_error::GuestError;
pub use handover::{HANDOVER_LEASE, Handover, Level};
pub use health::Health;
pub use horizon::{Holder, Horizon, Look};
pub use hosts::{HOST_LIFETIME, HostFile, HostRow};
pub use import::{ImportLine, Importer, Written};
pub use lanes::{Lane, LaneError, LaneKey, MAX_ERROR_MESSAGE_BYTES, NewLaneError};
pub use line::{Hindrance, LineRow};
pub use listener::{Hint, Listener, Ringer};
pub use modules::{Pinned, StoredModule};
pub use new_event::{BadLine, EventLine, MAX_LINE_BYTES, NewEvent, check_stream};
pub use passed::PassedLane;
pub use recorded_event::{RecordedEvent, Texts};
pub use refreshing::Refreshed;
pub use reports::{NewReport, Report};
pub use retire::{KeptVersion, Retired};
pub use role_pool::role_connections_for;
pub use rows::KeptRows;
pub use skipped::SkippedEvent;
pub use source::EventSource;
pub use statement::{Column, MAX_QUERY_BYTES, MAX_QUERY_ROWS, RowSet};
pub use subscriptions::{
    Digest, NewSubscription, Subscription, Succession, Swap, kind_text, run_mode_text,
};
pub use switch::{Held, Switched};
pub use value::Value;
pub use walls::Walls;

use admission::Admission;
use role_pool::RolePool;

/// Connections that one host or command keeps open at most, unless told otherwise.
pub const DEFAULT_CONNECTIONS: u32 = 20;

/// Of so many connections, one may be kept by who reads ahead, even while he waits for a guest.
const CONNECTIONS_A_READER: usize = 5;

/// How long a caller waits for a free connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a cancelled statement has before its session is terminated.
const CANCEL_PATIENCE: Duration = Duration::from_millis(250);

/// What every session of the host begins with. Names are those of PostgreSQL alone, and a host that is frozen in the middle of a
/// transaction of its own does not hold its locks, or the horizon, for ever. A later statement sees what was committed since the one
/// before: a database may begin its transactions in another way.
const SESSION: &str = "SET timezone = 'UTC'; SET search_path = pg_catalog; \
     SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = '60s'";

const CONNECTIONS_MAX: &str = "SELECT current_setting('max_connections')::int4";

/// A handle to the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    source: Arc<EventSource>,
    admission: Admission,
    walls: Walls,
    roles: RolePool,
    /// Places for those who keep a connection while they read ahead. There are none where each open batch takes a connection too.
    readers: Arc<Semaphore>,
}

impl Store {
    /// Connects to the database at `url`. Nothing is created and nothing is changed.
    pub async fn connect(url: &str, connections: u32) -> Result<Store, Error> {
        let options: PgConnectOptions = url.parse().map_err(|source| Error::BadUrl { source })?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SESSION).execute(connection).await?;
                    Ok(())
                })
            })
            // Statements may hold values of events, which are no business of a log.
            .connect_with(
                options
                    .application_name("projectionist")
                    .disable_statement_logging(),
            )
            .await
            .map_err(|source| Error::Connect { source })?;
        let accepted: i32 = sqlx::query_scalar(CONNECTIONS_MAX).fetch_one(&pool).await?;
        Ok(Store {
            pool,
            source: Arc::new(EventSource::built_in()),
            admission: Admission::default(),
            walls: Walls::default(),
            roles: RolePool::new(role_connections_for(accepted)),
            readers: Arc::new(Semaphore::new(connections as usize / CONNECTIONS_A_READER)),
        })
    }

    /// What the SQL of guests runs as, and how many connections of their roles are open at most; `None`: see
    /// [`role_connections_for`].
    #[must_use]
    pub fn with_walls(self, walls: Walls, role_connections: Option<u32>) -> Store {
        let roles = role_connections.map_or(self.roles, RolePool::new);
        let readers = match walls {
            Walls::Roles => self.readers,
            Walls::None => Arc::new(Semaphore::new(0)),
        };
        Store {
            walls,
            roles,
            readers,
            ..self
        }
    }

    /// What the SQL of guests runs as.
    pub fn walls(&self) -> Walls {
        self.walls
    }

    /// Closes all connections of this handle and of its copies.
    pub async fn close(&self) {
        self.roles.close().await;
        self.pool.close().await;
    }

    /// The pool behind this handle, for the modules of this floor and for tests.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a transaction. The driver knows that one is open when the server has said so. Given up before that, the session would go back to
    /// the pool with the transaction, and whatever is done in it next would not be committed. So this goes on when nobody waits for it any
    /// more, and the transaction is rolled back then.
    ///
    /// # Errors
    /// Those of the pool and of the server.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await });
        match begun.await {
            Ok(begun) => begun,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and everything in it.
                Err(_) => Err(sqlx::Error::PoolClosed),
            },
        }
    }

    /// Where events are read from.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// Creates or updates the schema `projectionist`.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrator = sqlx::migrate!("../migrations");
        // The record of what was done is in the same schema. Its plain name would land in the first of search_path.
        migrator.dangerous_set_table_name("projectionist.migrations");
        migrator.create_schema("projectionist");
        migrator
            .run(&self.pool)
            .await
            .map_err(|source| Error::Migrate { source })
    }

    fn admission(&self) -> &Admission {
        &self.admission
    }

    fn roles(&self) -> &RolePool {
        &self.roles
    }

    /// Ends a transaction of ours whose statement nobody waits for any more: the statement is cancelled, and what does not listen
    /// to that is terminated. In the background; a failure leaves it to the statement's own time-out.
    fn end_transaction(&self, backend: i32, transaction_id: String) {
        let store = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.see_ended(backend, &transaction_id).await });
        }
    }

    /// The same, and comes back when it is over. Without a name there is none.
    async fn see_ended(&self, backend: i32, transaction_id: &str) {
        if transaction_id.is_empty() {
            return;
        }
        if let Err(error) = end_transaction(&self.pool, backend, transaction_id).await {
            tracing::debug!(%error, backend, "an abandoned statement could not be ended");
        }
    }
}

async fn end_transaction(
    pool: &PgPool,
    backend: i32,
    transaction_id: &str,
) -> Result<(), sqlx::Error> {
    let cancel = include_str!("sql/cancel_transaction.sql");
    let terminate = include_str!("sql/terminate_transaction.sql");
    for (statement, pause) in [(cancel, CANCEL_PATIENCE), (terminate, Duration::ZERO)] {
        let found = sqlx::query(statement)
            .bind(backend)
            .bind(transaction_id)
            .fetch_optional(pool)
            .await?;
        if found.is_none() {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// An identifier, quoted for SQL.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
