//! What a host does in the transaction of a guest needs a proof that the guest cannot compute, for this transaction and no other.

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row};
use subscription::Status;

use crate::support::TestDatabase;
use crate::support::rows::{projector, register};

const ID: &str = "accounts_1";
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Somebody with the role of a guest, who may know the secret of it.
struct Session {
    connection: PgConnection,
    secret: Vec<u8>,
}

/// What a call came to: the SQLSTATE of a refusal.
type Answer = Result<Option<PgRow>, String>;

impl Session {
    async fn open(database: &TestDatabase, id: &str, duty: &str) -> Session {
        let role: (String, String, Vec<u8>) =
            sqlx::query_as("SELECT name::text, password, secret FROM projectionist.roles WHERE subscription = $1 AND duty = $2")
                .bind(id)
                .bind(duty)
                .fetch_one(database.pool())
                .await
                .expect("a role");
        let options: PgConnectOptions = database.pool().connect_options().as_ref().clone();
        let connection = options.username(&role.0).password(&role.1).connect().await;
        Session {
            connection: connection.expect("logged in"),
            secret: role.2,
        }
    }

    async fn run(&mut self, statement: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut self.connection)
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn proof(&self, words: &[&str]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(&self.secret);
        hash.update(words.join("|"));
        hash.update(&self.secret);
        hash.finalize().to_vec()
    }

    async fn call(&mut self, statement: String, proof: Option<Vec<u8>>) -> Answer {
        let answer = sqlx::query(AssertSqlSafe(statement))
            .bind(proof)
            .fetch_optional(&mut self.connection)
            .await;
        answer.map_err(|error| {
            let code = error.as_database_error().and_then(|refusal| refusal.code());
            code.map_or_else(|| error.to_string(), |code| code.into_owned())
        })
    }

    /// Begins a transaction and takes the lane in it: which transaction it is.
    async fn begin(&mut self) -> String {
        self.run("BEGIN").await;
        let taken = self.take_lane().await.expect("an answer");
        taken.expect("the lane")
    }

    /// Takes the lane as the host does; the transaction's number.
    async fn take_lane(&mut self) -> Result<Option<String>, String> {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut self.connection)
            .await
            .expect("a pid");
        let proof = self.proof(&["open", "0", &pid.to_string()]);
        let opened = self
            .call(
                "SELECT transaction_id FROM pj_batch.open_lane(0, NULL, $1)".to_owned(),
                Some(proof),
            )
            .await?;
        Ok(opened.map(|row| row.get(0)))
    }

    /// Moves the checkpoint from 0, with a proof for `proven` in the transaction `of`.
    async fn advance(&mut self, to: i64, proven: i64, of: &str) -> Answer {
        let words = [
            "advance",
            "0",
            "0",
            &proven.to_string(),
            NOBODY,
            "-",
            "-",
            "-",
            "-",
            "false",
            of,
        ];
        let proof = self.proof(&words);
        self.advance_with(to, of, Some(proof)).await
    }

    async fn advance_with(&mut self, to: i64, of: &str, proof: Option<Vec<u8>>) -> Answer {
        let statement = format!(
            "SELECT pj_batch.advance(0, 0, {to}, '{NOBODY}', NULL, NULL, NULL, NULL, false, '{of}', NULL, $1)"
        );
        self.call(statement, proof).await
    }
}

async fn guest() -> (TestDatabase, Session) {
    let database = TestDatabase::new().await;
    register(&database.store(), projector(ID), Status::Active).await;
    let session = Session::open(&database, ID, "handler").await;
    (database, session)
}

fn refused(answer: Answer) -> String {
    answer.map(|_| ()).expect_err("refused")
}

#[tokio::test]
async fn the_transaction_that_took_the_lane_moves_its_checkpoint() {
    let (database, mut session) = guest().await;
    let transaction = session.begin().await;
    assert!(database.in_a_batch(ID).await);
    session.advance(7, 7, &transaction).await.expect("moved");
    session.run("COMMIT").await;
    assert_eq!(database.position(ID).await, 7);
}

#[tokio::test]
async fn a_proof_is_for_what_it_says_and_nothing_else() {
    let (database, mut session) = guest().await;
    register(&database.store(), projector("orders_1"), Status::Active).await;
    let mut other = Session::open(&database, "orders_1", "handler").await;
    let mut owner = Session::open(&database, ID, "owner").await;
    other.secret.clone_from(&session.secret);
    owner.secret.clone_from(&session.secret);

    let transaction = session.begin().await;
    session.run("SAVEPOINT before").await;
    // Another position, none, an empty one.
    assert_eq!(refused(session.advance(8, 7, &transaction).await), "PJ010");
    session.run("ROLLBACK TO before").await;
    assert_eq!(
        refused(session.advance_with(7, &transaction, None).await),
        "PJ010"
    );
    session.run("ROLLBACK TO before").await;
    assert_eq!(
        refused(
            session
                .advance_with(7, &transaction, Some(Vec::new()))
                .await
        ),
        "PJ010"
    );
    session.run("ROLLBACK").await;

    // The secret of another guest's role, and of the other role of the same guest.
    assert_eq!(other.take_lane().await.expect_err("refused"), "PJ010");
    assert_eq!(owner.take_lane().await.expect_err("refused"), "PJ010");
    assert_eq!(database.position(ID).await, 0);
}

#[tokio::test]
async fn a_lane_that_is_taken_last_needs_a_proof_for_this_session_and_this_step() {
    let (database, mut session) = guest().await;
    let left =
        "UPDATE projectionist.checkpoints SET moved_by = '00000000-0000-0000-0000-000000000000'
                RETURNING (SELECT xmin::text FROM projectionist.subscriptions)";
    let revision: String = sqlx::query_scalar(left)
        .fetch_one(database.pool())
        .await
        .expect("a row");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut session.connection)
        .await
        .expect("a pid");
    let statement = |to: i64| {
        format!(
            "SELECT pj_batch.take_and_advance(0, 0, 2, {to}, '{NOBODY}', '{revision}', NULL, $1)"
        )
    };
    let proof = |session: &Session, to: &str, pid: i32| {
        let pid = pid.to_string();
        let words = [
            "take-and-advance",
            "0",
            "0",
            "2",
            to,
            NOBODY,
            &revision,
            &pid,
        ];
        session.proof(&words)
    };
    for forged in [
        None,
        Some(Vec::new()),
        Some(proof(&session, "8", pid)),
        Some(proof(&session, "7", pid + 1)),
    ] {
        let answer = session.call(statement(7), forged.clone()).await;
        assert_eq!(refused(answer), "PJ010", "{forged:?}");
    }
    assert_eq!(database.position(ID).await, 0);
    let right = proof(&session, "7", pid);
    let moved = session.call(statement(7), Some(right.clone())).await;
    moved.expect("moved");
    assert_eq!(database.position(ID).await, 7);
    // Whoever learns of it later has no use for it.
    let again = session.call(statement(7), Some(right)).await;
    assert_eq!(refused(again), "PJ012");
}

#[tokio::test]
async fn a_transaction_that_the_guest_ended_is_never_taken_for_a_commit() {
    let (database, mut session) = guest().await;
    for statements in [
        &["COMMIT"] as &[&str],
        &["ROLLBACK"],
        &["COMMIT", "BEGIN"],
        &["COMMIT", "BEGIN", "SELECT pg_current_xact_id()"],
        &["ROLLBACK AND CHAIN"],
    ] {
        let transaction = session.begin().await;
        for statement in statements {
            session.run(statement).await;
        }
        assert_eq!(
            refused(session.advance(7, 7, &transaction).await),
            "PJ011",
            "{statements:?}"
        );
        // And not with the number of no transaction either.
        assert!(session.advance(7, 7, "0").await.is_err(), "{statements:?}");
        session.run("ROLLBACK").await;
        assert_eq!(database.position(ID).await, 0, "{statements:?}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_somebody_else_moved_is_not_moved_again() {
    let (database, mut session) = guest().await;
    let transaction = session.begin().await;
    session.advance(7, 7, &transaction).await.expect("moved");
    assert_eq!(refused(session.advance(7, 7, &transaction).await), "PJ012");
    session.run("ROLLBACK").await;
    assert_eq!(database.position(ID).await, 0);
}

#[tokio::test]
async fn a_batch_with_something_temporary_or_large_in_it_is_not_committed() {
    let (database, mut session) = guest().await;
    for statement in ["SELECT lo_create(0)", "CREATE TEMPORARY TABLE x (y int)"] {
        let transaction = session.begin().await;
        session.run(statement).await;
        assert_eq!(
            refused(session.advance(7, 7, &transaction).await),
            "PJ013",
            "{statement}"
        );
        session.run("ROLLBACK").await;
    }
    assert_eq!(database.position(ID).await, 0);
}

#[tokio::test]
async fn the_answer_of_a_commit_is_not_what_tells_whether_it_was_one() {
    let (database, mut session) = guest().await;
    let transaction = session.begin().await;
    session.advance(7, 7, &transaction).await.expect("moved");
    let failed = sqlx::query("SELECT 1 / 0")
        .execute(&mut session.connection)
        .await;
    failed.expect_err("division by zero");
    // It raises nothing, and it is none.
    session.run("COMMIT").await;
    let status: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT pg_xact_status('{transaction}'::xid8)"
    )))
    .fetch_one(&mut session.connection)
    .await
    .expect("an answer");
    assert_eq!(status.as_deref(), Some("aborted"));
    assert_eq!(database.position(ID).await, 0);
}

#[tokio::test]
async fn a_host_proves_nothing_and_a_guest_cannot_pass_for_one() {
    let (database, mut session) = guest().await;
    let named = format!("SELECT position FROM pj_batch.open_lane(0, '{ID}', $1)");
    assert_eq!(refused(session.call(named.clone(), None).await), "PJ010");
    let mut host = Session {
        connection: database.connect().await,
        secret: Vec::new(),
    };
    let row = host
        .call(named, None)
        .await
        .expect("an answer")
        .expect("the lane");
    assert_eq!(row.get::<i64, _>("position"), 0);
    // Without a name it is nobody.
    let unnamed = "SELECT position FROM pj_batch.open_lane(0, NULL, $1)".to_owned();
    assert_eq!(refused(host.call(unnamed, None).await), "PJ010");
}
