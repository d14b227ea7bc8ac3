//! The PostgreSQL of the benchmark: a private one with the settings that a host gives its own, fsync included.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use projectionist::embedded::{Cluster, Options};
use projectionist::store::Store;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::events::{Events, accounts_of};
use crate::machine;

/// A migrated database with an empty log.
const EMPTY: &str = "bench_empty";

/// Rows that go out together.
const ROWS_AT_A_TIME: usize = 2_000;

const DROP_INDEXES: &str = include_str!("sql/drop_indexes.sql");
const MAKE_INDEXES: &str = include_str!("sql/make_indexes.sql");

const COPY_EVENTS: &str = "COPY projectionist.events (stream, version, type, data) FROM STDIN";

pub struct Server {
    cluster: Cluster,
    postmaster: String,
    place: TempDir,
    has_strategies: bool,
}

impl Server {
    pub async fn start() -> anyhow::Result<Server> {
        let place = tempfile::Builder::new()
            .prefix("pj-bench-")
            .tempdir()
            .context("making a temporary directory")?;
        // The server may run as another user, who has to come through.
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o711))?;
        let cluster = Cluster::acquire(Options {
            data_root: Some(place.path().join("data")),
            ..Options::default()
        })
        .await?;
        let pid_file = place.path().join("data/pg/postmaster.pid");
        let postmaster = std::fs::read_to_string(&pid_file)
            .with_context(|| format!("reading {}", pid_file.display()))?
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
            .fetch_one(&mut PgConnection::connect(cluster.url()).await?)
            .await?;
        let server = Server {
            cluster,
            postmaster,
            place,
            has_strategies: version >= 150_000,
        };
        server.execute(format!("CREATE DATABASE {EMPTY}")).await?;
        let store = Store::connect(&server.url_of(EMPTY), 1).await?;
        store.migrate().await?;
        store.pool().close().await;
        Ok(server)
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.cluster.shutdown().await?;
        Ok(())
    }

    pub fn url_of(&self, database: &str) -> String {
        self.cluster.url_of(database)
    }

    /// A place for files that go with the server.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Processor time of the sessions that have ended so far.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        machine::ended_children_cpu_seconds(&self.postmaster)
    }

    /// The same with those that are there now.
    pub fn busy_seconds(&self) -> anyhow::Result<f64> {
        Ok(self.cpu_seconds()? + machine::children_cpu_seconds(&self.postmaster)?)
    }

    pub async fn version(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(self.cluster.url()).await?;
        Ok(sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut connection)
            .await?)
    }

    /// A fresh database with an empty log.
    pub async fn empty(&self, name: &str) -> anyhow::Result<String> {
        self.copy(EMPTY, name).await
    }

    /// A database with the log of the benchmark, made once and then copied.
    pub async fn with_log(&self, events: u64, name: &str) -> anyhow::Result<String> {
        self.with_log_over(events, accounts_of(events), name).await
    }

    /// The same with so many accounts.
    pub async fn with_log_over(
        &self,
        events: u64,
        accounts: u64,
        name: &str,
    ) -> anyhow::Result<String> {
        let log = self.log(events, accounts).await?;
        self.copy(&log, name).await
    }

    /// That database itself, for who only reads.
    pub async fn log(&self, events: u64, accounts: u64) -> anyhow::Result<String> {
        let template = format!("bench_log_{events}_{accounts}");
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(&template)
                .fetch_one(&mut self.anywhere().await?)
                .await?;
        if !known {
            eprintln!("making a log of {events} events");
            self.copy(EMPTY, &template).await?;
            fill(&self.url_of(&template), events, accounts).await?;
        }
        Ok(template)
    }

    /// Reads the log once, so that it is no warmer for whoever comes later.
    pub async fn warm(&self, database: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url_of(database)).await?;
        // By its index: a long scan would keep nothing in memory.
        sqlx::raw_sql(
            "SET enable_seqscan = off; SET enable_sort = off;
             SELECT count(e.data) FROM (SELECT l.data FROM projectionist.events l ORDER BY l.position OFFSET 0) e",
        )
        .execute(&mut connection)
        .await?;
        Ok(connection.close().await?)
    }

    pub async fn drop(&self, database: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE {database} WITH (FORCE)"))
            .await
    }

    async fn copy(&self, template: &str, name: &str) -> anyhow::Result<String> {
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await?;
        // Through the log of changes, as is usual from 15 on, a long log would be written twice.
        let strategy = if self.has_strategies {
            "STRATEGY file_copy"
        } else {
            ""
        };
        self.execute(format!(
            "CREATE DATABASE {name} TEMPLATE {template} {strategy}"
        ))
        .await?;
        // What the copy left to be written is not to be written while something is measured.
        self.execute("CHECKPOINT".to_owned()).await?;
        Ok(name.to_owned())
    }

    async fn anywhere(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(self.cluster.url()).await?)
    }

    async fn execute(&self, sql: String) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.anywhere().await?)
            .await
            .with_context(|| sql)?;
        Ok(())
    }
}

async fn fill(url: &str, events: u64, accounts: u64) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(DROP_INDEXES).execute(&mut connection).await?;
    let mut copy = connection.copy_in_raw(COPY_EVENTS).await?;
    let mut events = Events::over(events, accounts).peekable();
    while events.peek().is_some() {
        let rows: String = events
            .by_ref()
            .take(ROWS_AT_A_TIME)
            .map(|event| copy_line(&event))
            .collect();
        copy.send(rows.into_bytes()).await?;
    }
    copy.finish().await?;
    sqlx::raw_sql(MAKE_INDEXES).execute(&mut connection).await?;
    // As a log is that has been there for a while: autovacuum has been over it.
    sqlx::raw_sql("VACUUM (FREEZE, ANALYZE) projectionist.events")
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// The form that COPY reads. None of the bodies holds a tab, a line end or a backslash.
pub fn copy_line(event: &crate::events::NewEvent) -> String {
    format!(
        "{}\t{}\t{}\t{}\n",
        event.stream, event.version, event.event_type, event.data
    )
}

/// The statement that reads what [`copy_line`] makes.
pub fn copy_statement() -> &'static str {
    COPY_EVENTS
}
