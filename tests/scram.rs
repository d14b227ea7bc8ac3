//! Roles of subscriptions at a server that lets nobody in without a password: their secrets are what they log in with.

use std::fs;

use projectionist::embedded::{Cluster, Fsync, Options};
use projectionist::engine::{self, Host};
use projectionist::store::{DEFAULT_CONNECTIONS, Grant, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use subscription::Status;
use tempfile::TempDir;

use crate::support::cluster::{copy_prepared, enterable_directory};
use crate::support::modules::compiler;
use crate::support::rows::{projector, register, touch};
use crate::support::{Modules, PATIENCE, TestDatabase, eventually};

/// Who administers is let in; everybody else proves that he knows a password.
const DEMANDS_PASSWORDS: &str = "local all postgres trust\nlocal all all scram-sha-256\n";

/// The host's user is no superuser.
const KEEPER: &str = "CREATE ROLE keeper LOGIN CREATEROLE PASSWORD 'of the keeper'";

/// SQLSTATE of a wrong password.
const WRONG_PASSWORD: &str = "28P01";

const ID: &str = "accounts_1";

/// A server of its own. It ends with the test, before its files go.
struct Server {
    cluster: Cluster,
    url: String,
    _place: TempDir,
}

impl Server {
    async fn start() -> Server {
        let place = enterable_directory();
        let data = place.path().join("data");
        copy_prepared(&data).await;
        let options = Options {
            data_root: Some(data.clone()),
            fsync: Fsync::Off,
            ..Options::default()
        };
        let cluster = Cluster::acquire(options).await.expect("a private server");
        let url = cluster.url_of("kept");
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let at = rest.split_once('@').map_or(rest, |(_, at)| at);
        let url = format!("{scheme}://keeper:of%20the%20keeper@{at}");
        let server = Server {
            cluster,
            url,
            _place: place,
        };
        for statement in [KEEPER, "CREATE DATABASE kept OWNER keeper"] {
            server.administer(statement).await;
        }
        fs::write(data.join("pg/pg_hba.conf"), DEMANDS_PASSWORDS).expect("written");
        server.administer("SELECT pg_reload_conf()").await;
        // The server reads it a moment later.
        eventually(PATIENCE, async || {
            match server.login("keeper", "wrong").await {
                Err(code) if code == WRONG_PASSWORD => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        server.store().await.migrate().await.expect("migrated");
        server
    }

    async fn store(&self) -> Store {
        Store::connect(&self.url, DEFAULT_CONNECTIONS)
            .await
            .expect("the keeper is let in")
    }

    async fn administer(&self, statement: &str) {
        let mut admin = PgConnection::connect(self.cluster.url_of("postgres").as_ref())
            .await
            .expect("a connection");
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut admin)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Whether somebody is let in; the SQLSTATE of the refusal.
    async fn login(&self, role: &str, password: &str) -> Result<(), String> {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        let opened = options.username(role).password(password).connect().await;
        opened.map(drop).map_err(|error| {
            let code = error.as_database_error().and_then(|refusal| refusal.code());
            code.map_or_else(|| error.to_string(), |code| code.into_owned())
        })
    }
}

/// Names and passwords of the roles of a subscription, the owner's first.
async fn roles(store: &Store, id: &str) -> Vec<(String, String)> {
    sqlx::query_as("SELECT name::text, password FROM projectionist.roles WHERE subscription = $1 ORDER BY duty DESC")
        .bind(id)
        .fetch_all(store.pool())
        .await
        .expect("roles")
}

async fn touch_both(store: &Store) {
    for grant in [Grant::Define, Grant::Handle] {
        assert!(touch(store, ID, grant).await.expect("a batch"), "{grant:?}");
    }
}

#[tokio::test]
async fn roles_log_in_by_their_secrets_and_nobody_does_without() {
    let server = Server::start().await;
    let store = server.store().await;
    register(&store, projector(ID), Status::Active).await;

    touch_both(&store).await;

    for (name, password) in roles(&store, ID).await {
        assert_eq!(server.login(&name, &password).await, Ok(()));
        for wrong in ["", "wrong", "of the keeper", &password.to_uppercase()] {
            let refused = server.login(&name, wrong).await.expect_err("refused");
            assert!(
                refused == WRONG_PASSWORD || wrong.is_empty(),
                "{wrong:?}: {refused}"
            );
        }
    }
}

/// Thousands of iterations protect what people choose, and would cost at every login.
#[tokio::test]
async fn the_server_checks_a_secret_in_one_iteration() {
    let server = Server::start().await;
    let store = server.store().await;
    register(&store, projector(ID), Status::Active).await;

    touch_both(&store).await;

    let mut admin = PgConnection::connect(server.cluster.url_of("postgres").as_ref())
        .await
        .expect("a connection");
    let kept: Vec<String> = sqlx::query_scalar(
        r"SELECT left(rolpassword, 16) FROM pg_authid WHERE rolname LIKE 'pj\_%'",
    )
    .fetch_all(&mut admin)
    .await
    .expect("what the server keeps");
    assert_eq!(kept, ["SCRAM-SHA-256$1:"; 2]);
}

/// Two of the test vectors of RFC 4231, the second with a key that is longer than a block.
#[tokio::test]
async fn what_stands_for_a_secret_is_made_as_the_rfc_says() {
    let database = TestDatabase::new().await;
    for (key, message, expected) in [
        (
            "convert_to('Jefe', 'UTF8')",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "decode(repeat('aa', 131), 'hex')",
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        let query = format!(
            "SELECT encode(projectionist.hmac_sha256({key}, convert_to('{message}', 'UTF8')), 'hex')"
        );
        let made: String = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(database.pool())
            .await
            .expect("a code");
        assert_eq!(made, expected, "{message}");
    }
}

#[tokio::test]
async fn a_password_that_is_another_on_the_server_is_mended() {
    let server = Server::start().await;
    let store = server.store().await;
    register(&store, projector(ID), Status::Active).await;
    for (name, _) in roles(&store, ID).await {
        server
            .administer(&format!("ALTER ROLE \"{name}\" PASSWORD 'another'"))
            .await;
    }

    touch_both(&store).await;

    for (name, password) in roles(&store, ID).await {
        assert_eq!(server.login(&name, &password).await, Ok(()));
        assert_eq!(
            server.login(&name, "another").await,
            Err(WRONG_PASSWORD.to_owned())
        );
    }
}

#[tokio::test]
async fn secrets_are_rotated_by_changing_their_rows() {
    let server = Server::start().await;
    let store = server.store().await;
    register(&store, projector(ID), Status::Active).await;
    touch_both(&store).await;
    let before = roles(&store, ID).await;
    let rotate = "UPDATE projectionist.roles SET password = encode(sha256(convert_to(password, 'UTF8')), 'hex')";
    sqlx::raw_sql(rotate)
        .execute(store.pool())
        .await
        .expect("rotated");

    // Open sessions go on, and whoever opens one next makes the server take the new secret.
    touch_both(&store).await;
    touch_both(&server.store().await).await;

    for ((name, old), (_, new)) in before.into_iter().zip(roles(&store, ID).await) {
        assert_eq!(server.login(&name, &new).await, Ok(()));
        assert_eq!(
            server.login(&name, &old).await,
            Err(WRONG_PASSWORD.to_owned())
        );
    }
}

/// It can: by a function that `setup` makes, calls and drops again. Whoever is told it must not be let in.
#[tokio::test]
async fn a_password_that_a_guest_gave_its_role_in_setup_is_taken_back() {
    let server = Server::start().await;
    let (store, modules) = (server.store().await, Modules::with(&["runs_sql"]));
    modules.put_bytes(
        "runs_sql.toml",
        b"[settings]\nsetup = '''CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
          BEGIN ALTER ROLE CURRENT_USER PASSWORD 'told to others'; RETURN 1; END $$
---
SELECT f()
---
DROP FUNCTION f()'''\n",
    );
    let options = engine::Options::new(modules.path(), compiler());
    let mut host = Host::start(store.clone(), options).await.expect("a host");

    host.once().await.expect("caught up");

    let row = store.subscription("runs_sql_1").await.expect("an answer");
    assert_eq!(row.expect("it is there").status, Status::Active);
    for (name, password) in roles(&store, "runs_sql_1").await {
        assert_eq!(server.login(&name, &password).await, Ok(()), "{name}");
        assert_eq!(
            server.login(&name, "told to others").await,
            Err(WRONG_PASSWORD.to_owned())
        );
    }
}

#[tokio::test]
async fn a_host_that_may_mend_no_role_says_whose_login_is_refused() {
    let server = Server::start().await;
    let store = server.store().await;
    register(&store, projector(ID), Status::Active).await;
    for (name, _) in roles(&store, ID).await {
        server
            .administer(&format!("ALTER ROLE \"{name}\" PASSWORD 'another'"))
            .await;
    }
    server.administer("ALTER ROLE keeper NOCREATEROLE").await;

    let refused = touch(&store, ID, Grant::Handle).await.expect_err("refused");

    let said = format!("{:#}", anyhow::Error::from(refused));
    assert!(said.contains("CREATEROLE"), "{said}");
}
