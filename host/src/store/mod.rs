//! Floor 1: everything that speaks to PostgreSQL. One statement a file, in `sql/`.

pub mod append;
mod copy_format;
mod error;
mod events;
mod filter;
mod import;
mod new_event;
mod source;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use append::{Appended, ExpectedVersion};
pub use error::Error;
pub use events::{Page, ReadLimit, RecordedEvent};
pub use filter::ReadFilter;
pub use import::{ImportLine, Importer, Written};
pub use new_event::{BadLine, EventLine, MAX_LINE_BYTES, NewEvent, check_stream};
pub use source::EventSource;

/// Connections that one host or command keeps open at most, unless told otherwise.
pub const DEFAULT_CONNECTIONS: u32 = 20;

/// How long a caller waits for a free connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// A handle to the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    source: Arc<EventSource>,
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
                    sqlx::raw_sql("SET timezone = 'UTC'; SET search_path = pg_catalog").execute(connection).await?;
                    Ok(())
                })
            })
            .connect_with(options.application_name("projectionist"))
            .await
            .map_err(|source| Error::Connect { source })?;
        Ok(Store { pool, source: Arc::new(EventSource::built_in()) })
    }

    /// The pool behind this handle, for the modules of this floor and for tests.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Where events are read from.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// Creates or updates the schema `projectionist`.
    pub async fn migrate(&self) -> Result<(), Error> {
        sqlx::migrate!("../migrations").run(&self.pool).await.map_err(|source| Error::Migrate { source })
    }
}
