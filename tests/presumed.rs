//! A batch that takes its lane where it ends: what it presumes is found out in the transaction that writes its rows.

use projectionist::store::{Batch, Change, KeptRows, LaneKey, Outcome, Store, Subscription, Value};
use sqlx::AssertSqlSafe;
use subscription::Status;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::rows::{opened, projector, register};

pub const ID: &str = "accounts_1";
pub const HOST: Uuid = Uuid::from_u128(7);

const TABLE: &str = "
    CREATE TABLE accounts_1.account (id text PRIMARY KEY, balance bigint NOT NULL CHECK (balance < 1000));
    CREATE TABLE accounts_1.visit (id text PRIMARY KEY, count bigint);
    GRANT SELECT, INSERT, UPDATE, DELETE ON accounts_1.account, accounts_1.visit TO PUBLIC";

/// Where the batch ended that was there before, and how far the host has passed since.
pub const LEFT_AT: i64 = 5;
const PASSED_TO: i64 = 8;
pub const END: i64 = 9;

pub fn lane() -> LaneKey {
    LaneKey {
        subscription: ID.to_owned(),
        lane: 0,
    }
}

pub fn key(id: &str) -> Vec<Value> {
    vec![Value::Text(id.to_owned())]
}

pub fn row(id: &str, number: i64) -> Vec<Value> {
    vec![Value::Text(id.to_owned()), Value::Integer(number)]
}

pub struct Stage {
    pub database: TestDatabase,
}

impl Stage {
    pub async fn new() -> Stage {
        let database = TestDatabase::new().await;
        register(&database.store(), projector(ID), Status::Active).await;
        let stage = Stage { database };
        stage.run(TABLE).await;
        stage
    }

    pub async fn run(&self, script: &str) {
        let script = AssertSqlSafe(script.to_owned());
        let done = sqlx::raw_sql(script).execute(self.database.pool()).await;
        done.expect("done");
    }

    /// A stage with a batch that goes on where another one ended.
    async fn with_batch() -> (Stage, Box<Batch>) {
        let stage = Stage::new().await;
        let kept = stage.left().await;
        let batch = stage.presumed(kept).await;
        (stage, batch)
    }

    pub async fn opened(&self) -> Box<Batch> {
        opened(&self.database.store(), ID).await
    }

    /// A batch that takes its lane in the beginning, and leaves what it knows.
    async fn left(&self) -> KeptRows {
        let mut batch = self.opened().await;
        let put = batch.put_rows("account", vec![row("a", 1)]).await;
        put.expect("put");
        batch.flush().await.expect("written");
        let (outcome, kept) = ended(batch, LEFT_AT).await;
        assert_eq!(outcome, Outcome::Committed);
        kept
    }

    async fn presumed(&self, kept: KeptRows) -> Box<Batch> {
        let store = self.database.store();
        let known = store.subscription(ID).await.expect("an answer");
        let known = known.expect("it is there");
        self.presumed_of(&known, kept).await
    }

    async fn presumed_of(&self, known: &Subscription, kept: KeptRows) -> Box<Batch> {
        let store = self.database.store();
        let batch = Batch::presume(&store, &lane(), known, kept, HOST, PASSED_TO).await;
        let batch = batch.expect("an answer").expect("a batch");
        assert!(batch.is_presumed());
        batch
    }

    /// The balance of an account, and where the checkpoint is.
    pub async fn found(&self) -> (Option<i64>, i64) {
        let select = "SELECT (SELECT balance FROM accounts_1.account WHERE id = 'a'), position
                        FROM projectionist.checkpoints WHERE subscription = 'accounts_1'";
        let found = sqlx::query_as(select).fetch_one(self.database.pool());
        found.await.expect("a checkpoint")
    }
}

pub async fn ended(batch: Box<Batch>, to: i64) -> (Outcome, KeptRows) {
    let ended = batch.commit_keeping(to, Change::Keep, HOST).await;
    ended.expect("an answer")
}

/// Ends a batch that sets the balance of `a` to 2.
async fn end(mut batch: Box<Batch>) -> Outcome {
    let put = batch.put_rows("account", vec![row("a", 2)]).await;
    put.expect("put");
    batch.flush().await.expect("nothing to do yet");
    assert!(batch.is_presumed(), "nothing was asked");
    ended(batch, END).await.0
}

#[tokio::test]
async fn rows_and_checkpoint_are_written_where_all_is_as_it_was_left() {
    for passed in [LEFT_AT, PASSED_TO] {
        let stage = Stage::new().await;
        let kept = stage.left().await;
        let pass = format!("UPDATE projectionist.checkpoints SET position = {passed}");
        stage.run(&pass).await;
        let batch = stage.presumed(kept).await;
        assert_eq!(end(batch).await, Outcome::Committed);
        assert_eq!(stage.found().await, (Some(2), END));
        // One row and one checkpoint, of one transaction.
        let alike = "SELECT a.xmin = c.xmin FROM accounts_1.account a, projectionist.checkpoints c";
        let alike: bool = sqlx::query_scalar(alike)
            .fetch_one(stage.database.pool())
            .await
            .expect("both");
        assert!(alike);
    }
}

#[tokio::test]
async fn nothing_is_written_where_anything_is_not_as_it_was_left() {
    for disturbance in [
        "UPDATE projectionist.checkpoints SET position = 9",
        "UPDATE projectionist.checkpoints SET position = 4",
        "UPDATE projectionist.checkpoints SET moved_by = NULL",
        "UPDATE projectionist.checkpoints SET moved_by = gen_random_uuid()",
        "UPDATE projectionist.subscriptions SET went_live_at = clock_timestamp()",
        "UPDATE projectionist.subscriptions SET generation = generation + 1",
        "INSERT INTO projectionist.lane_errors (subscription, lane, class, message, module, attempts)
         SELECT id, 0, 'trap', 'it broke', module, 1 FROM projectionist.subscriptions",
        "UPDATE projectionist.lines SET live = 'accounts_1', live_since = now(), challenger = 'accounts_1',
                handover_until = clock_timestamp() + interval '1 minute'",
    ] {
        let stage = Stage::new().await;
        let kept = stage.left().await;
        let store = stage.database.store();
        let known = store.subscription(ID).await.expect("an answer");
        stage.run(disturbance).await;
        let (_, position) = stage.found().await;
        let batch = stage
            .presumed_of(&known.expect("it is there"), kept)
            .await;
        assert_eq!(end(batch).await, Outcome::Overtaken, "{disturbance}");
        assert_eq!(stage.found().await, (Some(1), position), "{disturbance}");
    }
}

#[tokio::test]
async fn who_has_the_lane_is_not_waited_for() {
    let (stage, batch) = Stage::with_batch().await;
    // It may wait for the row itself.
    let mut other = stage.opened().await;
    let put = other.put_rows("account", vec![row("a", 3)]).await;
    put.expect("put");
    other.flush().await.expect("written");
    assert_eq!(end(batch).await, Outcome::Overtaken);
    assert_eq!(ended(other, END).await.0, Outcome::Committed);
    assert_eq!(stage.found().await, (Some(3), END));
}

/// What is looked at in a later statement has to be as it is then, however a database begins its transactions.
#[tokio::test]
async fn transactions_read_what_is_committed_in_any_database() {
    let stage = Stage::new().await;
    let of_the_database = "DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$";
    stage.run(of_the_database).await;
    stage
        .run(
            "ALTER TABLE accounts_1.account
             ADD CHECK (current_setting('transaction_isolation') = 'read committed')",
        )
        .await;
    let kept = stage.left().await;
    let batch = stage.presumed(kept).await;
    assert_eq!(end(batch).await, Outcome::Committed);
    assert_eq!(stage.found().await, (Some(2), END));

    let host = Store::connect(stage.database.url(), 1).await.expect("open");
    let isolation: String = sqlx::query_scalar("SHOW transaction_isolation")
        .fetch_one(host.pool())
        .await
        .expect("an answer");
    assert_eq!(isolation, "read committed");
    host.close().await;
}

/// By the last 32 bits of its number, which is all that a row says of who locked it.
#[tokio::test]
async fn who_locked_a_row_has_ended_or_not() {
    let stage = Stage::new().await;
    let has_ended = async |number: i64| -> bool {
        let asked = sqlx::query_scalar("SELECT projectionist.has_ended($1::text::xid)");
        let answer = asked.bind(number.to_string());
        let answer = answer.fetch_one(stage.database.pool()).await;
        answer.expect("an answer")
    };
    let mut transaction = stage.database.pool().begin().await.expect("begun");
    let number: i64 = sqlx::query_scalar("SELECT pg_current_xact_id()::text::bigint & 4294967295")
        .fetch_one(&mut *transaction)
        .await
        .expect("a number");
    assert!(!has_ended(number).await, "it is open");
    transaction.rollback().await.expect("over");
    assert!(has_ended(number).await);
    assert!(has_ended(3).await, "the first there can be");
    assert!(!has_ended(number + 1_000_000).await, "not begun yet");
}

#[tokio::test]
async fn rows_of_several_tables_are_written_together_and_others_are_read_without_the_lane() {
    let stage = Stage::new().await;
    stage
        .run("INSERT INTO accounts_1.account VALUES ('b', 20)")
        .await;
    let mut kept = stage.left().await;
    for end in END..END + 2 {
        let mut batch = stage.presumed(kept).await;
        let keys = vec![key("a"), key("b"), key("c")];
        let rows = batch.get_rows("account", keys).await.expect("an answer");
        assert_eq!(rows, [Some(row("a", 1)), Some(row("b", 20)), None]);
        assert!(!stage.database.in_a_batch(ID).await);
        let put = batch.put_rows("account", vec![row("b", 20)]).await;
        put.expect("put");
        let visits = vec![row("x", end), row("y", end)];
        batch.put_rows("visit", visits).await.expect("put");
        batch.flush().await.expect("nothing to do yet");
        let (outcome, left) = ended(batch, end).await;
        assert_eq!(outcome, Outcome::Committed);
        kept = left;
        let visits = "SELECT array_agg(count ORDER BY id) FROM accounts_1.visit";
        let visits: Vec<i64> = sqlx::query_scalar(visits)
            .fetch_one(stage.database.pool())
            .await
            .expect("visits");
        assert_eq!(visits, [end, end]);
    }
    assert_eq!(stage.found().await, (Some(1), END + 1));
}

#[tokio::test]
async fn what_one_statement_cannot_do_takes_the_lane_first() {
    let (stage, mut batch) = Stage::with_batch().await;
    let deleted = batch.delete_rows("account", vec![key("a")]).await;
    deleted.expect("deleted");
    batch.flush().await.expect("written");
    assert!(stage.database.in_a_batch(ID).await);
    let (outcome, kept) = ended(batch, END).await;
    assert_eq!(outcome, Outcome::Committed);
    assert_eq!(stage.found().await, (None, END));

    let mut batch = stage.presumed(kept).await;
    let inserted = batch.execute("INSERT INTO account VALUES ('a', 4)", &[]);
    assert_eq!(inserted.await, Ok(1));
    assert!(stage.database.in_a_batch(ID).await);
    assert_eq!(ended(batch, END + 1).await.0, Outcome::Committed);
    assert_eq!(stage.found().await, (Some(4), END + 1));
}

#[tokio::test]
async fn a_statement_on_a_false_presumption_is_not_run() {
    let (stage, mut batch) = Stage::with_batch().await;
    stage
        .run("UPDATE projectionist.checkpoints SET position = 6, moved_by = NULL")
        .await;
    let refused = batch.execute("UPDATE account SET balance = 3", &[]).await;
    let refused = refused.expect_err("the lane is another");
    assert!(refused.retryable, "{refused:?}");
    let aborted = batch.execute("UPDATE account SET balance = 3", &[]).await;
    assert_eq!(aborted.expect_err("no more").kind, "aborted");
    batch.rollback().await.expect("given up");
    assert_eq!(stage.found().await, (Some(1), 6));
}

#[tokio::test]
async fn what_the_table_refuses_is_not_committed() {
    let (stage, mut batch) = Stage::with_batch().await;
    let rows = vec![row("a", 2), row("b", 1_000)];
    batch.put_rows("account", rows).await.expect("put");
    batch.flush().await.expect("nothing to do yet");
    match ended(batch, END).await.0 {
        Outcome::Refused(error) => assert_eq!(error.sqlstate.as_deref(), Some("23514")),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.found().await, (Some(1), LEFT_AT));
    // Nobody holds anything of it.
    stage.opened().await.rollback().await.expect("given up");
}
