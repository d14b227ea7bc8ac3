//! A batch that begins while the one before it is on its way into the database, and answers that come before the server's.

use std::time::Duration;

use projectionist::engine::Notice;
use projectionist::store::{Batch, NewEvent, Outcome, Value};
use serde_json::json;
use subscription::ErrorClass;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::presumed::{END, HOST, ID, LEFT_AT, Stage, ended, key, lane, row};
use crate::support::log::event;
use crate::support::{Modules, TestDatabase, stepped};

/// As long as a test waits for what must not come.
const SHORT: Duration = Duration::from_millis(100);

/// A batch whose guest is done and set the balance of `a` to 1, and the one that follows it.
async fn pair(stage: &Stage) -> (Box<Batch>, oneshot::Sender<()>, Box<Batch>) {
    let mut before = stage.opened().await;
    let put = before.put_rows("account", vec![row("a", 1)]).await;
    put.expect("put");
    let (tell, after) = following(stage, &mut before).await;
    (before, tell, after)
}

async fn following(stage: &Stage, before: &mut Batch) -> (oneshot::Sender<()>, Box<Batch>) {
    let left = before.part_with_rows(LEFT_AT).expect("rows that fit");
    let left = left.expect("nothing else is to be written");
    let store = stage.database.store();
    let known = store.subscription(ID).await.expect("an answer");
    let (tell, committed) = oneshot::channel();
    let known = known.expect("it is there");
    let after = Batch::follow(&store, &lane(), &known, left, HOST, committed);
    (tell, after)
}

async fn committed(mut batch: Box<Batch>, to: i64) {
    batch.flush().await.expect("written");
    assert_eq!(ended(batch, to).await.0, Outcome::Committed);
}

#[tokio::test]
async fn it_works_with_the_rows_as_they_will_be_and_is_committed_behind_the_one_before() {
    let stage = Stage::new().await;
    let (before, tell, mut after) = pair(&stage).await;
    let rows = after.get_rows("account", vec![key("a")]).await;
    assert_eq!(rows, Ok(vec![Some(row("a", 1))]));
    let put = after.put_rows("account", vec![row("a", 2)]).await;
    put.expect("put");
    assert_eq!(stage.found().await, (None, 0), "nobody has written");
    assert!(timeout(SHORT, after.flush()).await.is_err(), "it waits");

    let (before, tell, mut after) = {
        drop((before, tell, after));
        stage.database.until_out_of_a_batch(ID).await;
        pair(&stage).await
    };
    let put = after.put_rows("account", vec![row("a", 2)]).await;
    put.expect("put");
    committed(before, LEFT_AT).await;
    assert_eq!(stage.found().await, (Some(1), LEFT_AT));
    tell.send(()).expect("it listens");
    committed(after, END).await;
    assert_eq!(stage.found().await, (Some(2), END));
}

#[tokio::test]
async fn rows_that_the_one_before_did_not_write_are_read_at_once() {
    let stage = Stage::new().await;
    let insert = "INSERT INTO accounts_1.account VALUES ('b', 20)";
    stage.run(insert).await;
    let (before, tell, mut after) = pair(&stage).await;
    let keys = vec![key("a"), key("b"), key("c")];
    let rows = after.get_rows("account", keys).await.expect("an answer");
    assert_eq!(rows, [Some(row("a", 1)), Some(row("b", 20)), None]);
    let put = after.put_rows("account", vec![row("b", 21)]).await;
    put.expect("put");
    committed(before, LEFT_AT).await;
    tell.send(()).expect("it listens");
    committed(after, END).await;
    assert_eq!(stage.found().await, (Some(1), END));
    let b = "SELECT balance FROM accounts_1.account WHERE id = 'b'";
    let b: i64 = sqlx::query_scalar(b)
        .fetch_one(stage.database.pool())
        .await
        .expect("b");
    assert_eq!(b, 21);
}

#[tokio::test]
async fn rows_that_a_statement_may_have_written_are_read_behind_it() {
    let stage = Stage::new().await;
    let mut before = stage.opened().await;
    let insert = "INSERT INTO account VALUES ('b', 20)";
    assert_eq!(before.execute(insert, &[]).await, Ok(1));
    let (tell, mut after) = following(&stage, &mut before).await;
    {
        let asking = after.get_rows("account", vec![key("b")]);
        tokio::pin!(asking);
        assert!(timeout(SHORT, &mut asking).await.is_err(), "it waits");
        committed(before, LEFT_AT).await;
        tell.send(()).expect("it listens");
        assert_eq!(asking.await, Ok(vec![Some(row("b", 20))]));
    }
    committed(after, END).await;
    assert_eq!(stage.found().await, (None, END));
}

#[tokio::test]
async fn nothing_of_it_happens_if_the_one_before_fails_or_somebody_else_was_there() {
    for disturbance in [
        None,
        Some("UPDATE projectionist.checkpoints SET moved_by = gen_random_uuid()"),
        Some("UPDATE projectionist.subscriptions SET generation = generation + 1"),
    ] {
        let stage = Stage::new().await;
        let (before, tell, mut after) = pair(&stage).await;
        let put = after.put_rows("account", vec![row("a", 2)]).await;
        put.expect("put");
        let found = match disturbance {
            None => {
                before.rollback().await.expect("given up");
                drop(tell);
                (None, 0)
            }
            Some(disturbance) => {
                committed(before, LEFT_AT).await;
                stage.run(disturbance).await;
                tell.send(()).expect("it listens");
                (Some(1), LEFT_AT)
            }
        };
        let refused = after.flush().await.expect_err("it presumed too much");
        assert!(refused.retryable, "{refused:?}");
        after.abandon().await;
        assert_eq!(stage.found().await, found, "{disturbance:?}");
        stage.opened().await.rollback().await.expect("a free lane");
    }
}

#[tokio::test]
async fn rows_that_are_deleted_stay_with_their_batch() {
    let stage = Stage::new().await;
    let mut batch = stage.opened().await;
    let put = batch.put_rows("account", vec![row("a", 1)]).await;
    put.expect("put");
    let deleted = batch.delete_rows("account", vec![key("b")]).await;
    deleted.expect("deleted");
    let parted = batch.part_with_rows(LEFT_AT).expect("an answer");
    assert!(parted.is_none());
    committed(batch, LEFT_AT).await;
    assert_eq!(stage.found().await, (Some(1), LEFT_AT));
}

#[tokio::test]
async fn what_was_answered_early_is_found_by_whatever_is_asked_next() {
    let stage = Stage::new().await;
    let mut batch = stage.opened().await;
    batch.answer_early();
    let insert = "INSERT INTO account (id, balance) VALUES ($1, $2)";
    let lists = |begin: i64| -> Vec<Vec<Value>> {
        (begin..begin + 20)
            .map(|number| row(&number.to_string(), number))
            .collect()
    };
    for begin in [0, 100] {
        assert_eq!(batch.execute_many(insert, &lists(begin)).await, Ok(20));
        assert!(batch.has_answered_early());
    }
    let count = "SELECT count(*) FROM account";
    let found = batch.query(count, &[]).await.expect("a row");
    assert_eq!(found.rows, [[Value::Integer(40)]]);
    // The same keys again: nobody waits for the answer, and who comes next hears of it.
    assert_eq!(batch.execute_many(insert, &lists(0)).await, Ok(20));
    let failed = batch.query(count, &[]).await.expect_err("they are there");
    assert_eq!(failed.sqlstate.as_deref(), Some("23505"));
    batch.abandon().await;
    assert_eq!(stage.found().await, (None, 0));
    // As long as statements run, one that is dropped is ended on the server.
    let mut batch = stage.opened().await;
    batch.answer_early();
    assert_eq!(batch.execute_many(insert, &lists(0)).await, Ok(20));
    drop(batch);
    stage.database.until_out_of_a_batch(ID).await;
    let mut batch = stage.opened().await;
    let unknown = "INSERT INTO account (id, balance) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    batch.answer_early();
    assert_eq!(batch.execute_many(unknown, &lists(0)).await, Ok(20));
    assert!(!batch.has_answered_early(), "who knows how many there are");
    committed(batch, LEFT_AT).await;
}

/// Deposits of 1 to accounts in turn: several batches' statements.
async fn fill(database: &TestDatabase, events: usize) {
    let deposit = |number: usize| {
        let account = format!("{}", number % 40);
        event(
            "MoneyDeposited",
            &json!({ "account": account, "amount": 1 }),
        )
    };
    let all: Vec<NewEvent> = (0..events).map(deposit).collect();
    for some in all.chunks(1_000) {
        database.append("s", some).await;
    }
}

async fn sum(database: &TestDatabase) -> i64 {
    let sum = "SELECT coalesce(sum(balance), 0)::bigint FROM accounts_by_many_1.account";
    let sum = sqlx::query_scalar(sum).fetch_one(database.pool()).await;
    sum.expect("a sum")
}

const MANY: &str = "accounts_by_many_1";

#[tokio::test]
async fn batches_that_overlap_count_each_event_once() {
    const EVENTS: usize = 10_500;
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["accounts_by_many"]),
    );
    fill(&database, EVENTS).await;
    let mut host = stepped(&database, &modules).await;
    let mut notices = host.notices();
    host.once().await.expect("caught up");
    assert_eq!(sum(&database).await, EVENTS as i64);
    let (mut batches, mut handled) = (0, 0);
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Committed { events, .. } = notice {
            batches += 1;
            handled += events;
        }
    }
    assert_eq!(handled, EVENTS);
    assert!(batches > 1, "it was more than one batch");
}

/// Catches up with 9,000 events after the tables were changed, where the one at `position` is to blame.
async fn fails_at(position: i64, change: &'static str) {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["accounts_by_many"]),
    );
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("set up");
    let changed = sqlx::raw_sql(change).execute(database.pool()).await;
    changed.expect("a condition");
    fill(&database, 9_000).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("failed");
    let error = database.error(MANY).await.expect("an error");
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Sql, Some(position))
    );
    assert_eq!(error.attempts, 1);
    assert_eq!(database.position(MANY).await, position - 1);
    assert_eq!(sum(&database).await, position - 1);
}

#[tokio::test]
async fn an_event_whose_statement_fails_behind_its_answer_is_the_one_to_blame() {
    fails_at(
        4_321,
        "ALTER TABLE accounts_by_many_1.account ADD CHECK (last_position <> 4321)",
    )
    .await;
}

/// The condition is found out at the commit of the second batch.
#[tokio::test]
async fn a_commit_that_is_refused_behind_the_next_batch_is_told_as_any_other() {
    fails_at(
        5_990,
        "CREATE TABLE accounts_by_many_1.position (at bigint PRIMARY KEY);
         INSERT INTO accounts_by_many_1.position SELECT generate_series(1, 9000);
         DELETE FROM accounts_by_many_1.position WHERE at = 5990;
         ALTER TABLE accounts_by_many_1.account ADD FOREIGN KEY (last_position)
             REFERENCES accounts_by_many_1.position DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
}
