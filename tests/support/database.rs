//! A migrated database of its own for each test.

use std::fs;
use std::time::Duration;

use projectionist::store::Store;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::cluster::server;
use super::{PATIENCE, eventually, repository};

/// Connections that the pool of a test database opens at most.
const CONNECTIONS: u32 = 20;

/// Guards the making of the template in a server that several test processes share.
const TEMPLATE_LOCK: i64 = 0x7072_6f6a;

/// A database that is there for one test and goes with it.
pub struct TestDatabase {
    name: String,
    url: String,
    store: Store,
}

impl TestDatabase {
    pub async fn new() -> TestDatabase {
        TestDatabase::from_template(template_name()).await
    }

    /// A copy of another test's database, whose connections must be closed by now.
    pub async fn copy_of(other: &TestDatabase) -> TestDatabase {
        other.store.pool().close().await;
        TestDatabase::from_template(&other.name).await
    }

    async fn from_template(template: &str) -> TestDatabase {
        let server = server().await;
        let name = format!("projectionist_test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&server.url_of("postgres"))
            .await
            .expect("a connection to the server");
        create(&mut admin, &name, Some(template)).await;
        let url = server.url_of(&name);
        let store = Store::connect(&url, CONNECTIONS)
            .await
            .expect("a connection to the new database");
        TestDatabase { name, url, store }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn store(&self) -> Store {
        self.store.clone()
    }

    pub fn pool(&self) -> &PgPool {
        self.store.pool()
    }

    /// A connection outside the pool.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.url())
            .await
            .expect("a connection to the test database")
    }

    /// Waits until so many backends wait for a lock.
    pub async fn until_backends_wait(&self, expected: i64) {
        eventually(PATIENCE, async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(self.pool())
            .await
            .map_err(|error| error.to_string())?;
            let is_so = waiting == expected;
            is_so.then_some(()).ok_or(format!("{waiting} backends wait for a lock"))
        })
        .await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, url) = (self.name.clone(), self.url.clone());
        // A thread with a runtime of its own: dropping is not asynchronous, and the test's runtime may be on its way out.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let done =
                    tokio::time::timeout(Duration::from_secs(30), drop_database(&name, &url)).await;
                if !matches!(done, Ok(Ok(()))) {
                    eprintln!("the test database {name} was left behind: {done:?}");
                }
            });
        });
        dropping.join().ok();
    }
}

/// Ends everything in the database, prepared transactions too, and drops it.
async fn drop_database(name: &str, url: &str) -> Result<(), sqlx::Error> {
    let mut inside = PgConnection::connect(url).await?;
    let prepared: Vec<String> =
        sqlx::query_scalar("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
            .fetch_all(&mut inside)
            .await?;
    for gid in prepared {
        let rollback = format!("ROLLBACK PREPARED '{}'", gid.replace('\'', "''"));
        sqlx::raw_sql(AssertSqlSafe(rollback))
            .execute(&mut inside)
            .await?;
    }
    // Roles belong to the server and outlive the database. A test may have dropped their table.
    let roles: Vec<String> = sqlx::query_scalar("SELECT name::text FROM projectionist.roles")
        .fetch_all(&mut inside)
        .await
        .unwrap_or_default();
    inside.close().await?;
    let mut admin = PgConnection::connect(&server().await.url_of("postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP DATABASE \"{name}\" WITH (FORCE)"
    )))
    .execute(&mut admin)
    .await?;
    for role in roles {
        let drop = format!("DROP ROLE IF EXISTS \"{role}\"");
        // That of a database which this one was copied from is in use there.
        let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await;
    }
    admin.close().await
}

/// Migrates a database that all others are copies of, unless it is there already.
pub async fn make_template(admin_url: &str, url_of: impl Fn(&str) -> String) {
    let name = template_name();
    let mut admin = PgConnection::connect(admin_url)
        .await
        .expect("a connection to the server");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut admin)
        .await
        .expect("locked");
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .expect("an answer");
    if !there {
        let unfinished = format!("{name}_unfinished");
        let drop_it = format!("DROP DATABASE IF EXISTS \"{unfinished}\"");
        sqlx::raw_sql(AssertSqlSafe(drop_it))
            .execute(&mut admin)
            .await
            .expect("dropped");
        create(&mut admin, &unfinished, None).await;
        let store = Store::connect(&url_of(&unfinished), 1)
            .await
            .expect("a connection to the template");
        store.migrate().await.expect("migrated");
        store.pool().close().await;
        let rename = format!("ALTER DATABASE \"{unfinished}\" RENAME TO \"{name}\"");
        sqlx::raw_sql(AssertSqlSafe(rename))
            .execute(&mut admin)
            .await
            .expect("renamed");
    }
    admin.close().await.expect("closed");
}

async fn create(admin: &mut PgConnection, name: &str, template: Option<&str>) {
    let template = template.unwrap_or("template0");
    // Copying files is the faster way for small databases where nobody waits for the disk; version 14 knows no other.
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *admin)
        .await
        .expect("a version");
    let strategy = if version >= 150_000 {
        "STRATEGY file_copy"
    } else {
        ""
    };
    let create = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\" {strategy}");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(admin)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// The name of the template says what it was made of, so that another set of migrations makes another one.
pub fn template_name() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let directory = repository().join("migrations");
        let mut files: Vec<_> = fs::read_dir(directory)
            .expect("migrations/")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        let mut digest = Sha256::new();
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "sql"))
        {
            digest.update(file.file_name().expect("a name").as_encoded_bytes());
            digest.update(fs::read(file).expect("a migration"));
        }
        format!(
            "projectionist_template_{}",
            hex::encode(&digest.finalize()[..8])
        )
    })
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    sqlx::raw_sql("CREATE TABLE public.only_here ()")
        .execute(one.pool())
        .await
        .expect("created");
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('public.only_here')::text")
        .fetch_one(other.pool())
        .await
        .expect("an answer");
    assert_eq!(there, None);
    sqlx::raw_sql("SELECT FROM projectionist.events")
        .execute(other.pool())
        .await
        .expect("migrated");
}

#[tokio::test]
async fn a_test_database_goes_with_everything_in_it() {
    let database = TestDatabase::new().await;
    let name = database.name.clone();
    let mut prepared = database.connect().await;
    let prepare = "BEGIN; CREATE TABLE public.t (); PREPARE TRANSACTION 'left behind'";
    sqlx::raw_sql(prepare)
        .execute(&mut prepared)
        .await
        .expect("prepared");
    drop(database);
    let mut admin = PgConnection::connect(&server().await.url_of("postgres"))
        .await
        .expect("a connection");
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .expect("an answer");
    assert!(!there);
}
