//! A batch that begins while the one before it is on its way into the database, and answers that come before the server's.

use std::time::Duration;

use projectionist::engine::Notice;
use projectionist::store::{Batch, NewEvent, Outcome, Value};
use serde_json::json;
use sqlx::AssertSqlSafe;
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

#[tokio::test]
async fn one_statement_is_answered_early_as_many_are() {
    const INSERT: &str = "INSERT INTO account (id, balance) VALUES ($1, $2)";
    const COUNT: &str = "SELECT count(*) FROM account";
    let stage = Stage::new().await;
    let mut batch = stage.opened().await;
    batch.answer_early();
    for key in ["a", "b", "c"] {
        assert_eq!(batch.execute(INSERT, &row(key, 1)).await, Ok(1));
    }
    assert!(batch.has_answered_early());
    let found = batch.query(COUNT, &[]).await.expect("a row");
    assert_eq!(found.rows, [[Value::Integer(3)]]);
    assert_eq!(batch.execute(INSERT, &row("a", 1)).await, Ok(1));
    let failed = batch.execute(INSERT, &row("d", 1)).await;
    let failed = failed.expect_err("the one before has failed");
    assert_eq!(failed.sqlstate.as_deref(), Some("23505"));
    batch.abandon().await;
    assert_eq!(stage.found().await, (None, 0));
    // As long as it runs, one that is dropped is ended on the server.
    let mut batch = stage.opened().await;
    batch.answer_early();
    assert_eq!(batch.execute(INSERT, &row("a", 1)).await, Ok(1));
    drop(batch);
    stage.database.until_out_of_a_batch(ID).await;
    let mut batch = stage.opened().await;
    batch.answer_early();
    let update = "UPDATE account SET balance = $2 WHERE id = $1";
    assert_eq!(batch.execute(update, &row("a", 2)).await, Ok(0));
    assert!(!batch.has_answered_early(), "who knows how many there are");
    assert_eq!(batch.execute(INSERT, &row("a", 3)).await, Ok(1));
    committed(batch, LEFT_AT).await;
    assert_eq!(stage.found().await, (Some(3), LEFT_AT));
}

/// What the guest was told is held against what happened: a trigger of somebody else can keep a row out.
#[tokio::test]
async fn an_early_answer_that_was_false_undoes_its_batch() {
    let stage = Stage::new().await;
    let trigger = format!(
        "CREATE FUNCTION public.keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER keep_out BEFORE INSERT ON {ID}.account FOR EACH ROW WHEN (NEW.id = '7')
             EXECUTE FUNCTION public.keep_out()"
    );
    let pool = stage.database.pool();
    let made = sqlx::raw_sql(AssertSqlSafe(trigger)).execute(pool).await;
    made.expect("a trigger");
    let insert = "INSERT INTO account (id, balance) VALUES ($1, $2)";
    let lists: Vec<Vec<Value>> = (0..20).map(|number| row(&number.to_string(), 1)).collect();
    for is_one in [true, false] {
        let mut batch = stage.opened().await;
        batch.answer_early();
        let told = match is_one {
            true => batch.execute(insert, &lists[7]).await,
            false => batch.execute_many(insert, &lists).await,
        };
        assert_eq!(told, Ok(if is_one { 1 } else { 20 }));
        let refused = batch.flush().await.expect_err("it was not so");
        assert!(refused.retryable, "{refused:?}");
        batch.abandon().await;
        let mut batch = stage.opened().await;
        let found = match is_one {
            true => batch.execute(insert, &lists[7]).await,
            false => batch.execute_many(insert, &lists).await,
        };
        assert_eq!(found, Ok(if is_one { 0 } else { 19 }));
        batch.abandon().await;
    }
}

/// Deposits of 1 to so many accounts in turn: several batches' statements.
async fn fill(database: &TestDatabase, events: usize, accounts: usize) {
    let deposit = |number: usize| {
        let account = format!("{}", number % accounts);
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

/// Accounts of which each changes often in one call.
const FEW: usize = 40;

/// Catches up with so many events of so many accounts, and says how many each batch had.
async fn batches_of(events: usize, accounts: usize) -> Vec<usize> {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["accounts_by_many"]),
    );
    fill(&database, events, accounts).await;
    let mut host = stepped(&database, &modules).await;
    let mut notices = host.notices();
    host.once().await.expect("caught up");
    assert_eq!(sum(&database).await, events as i64);
    let mut batches = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Committed { events, .. } = notice
            && events > 0
        {
            batches.push(events);
        }
    }
    batches
}

#[tokio::test]
async fn batches_that_overlap_count_each_event_once() {
    let batches = batches_of(10_500, FEW).await;
    assert_eq!(batches, [3_000, 3_000, 3_000, 1_500]);
}

/// What a transaction overwrites lies there until it ends, so one that overwrites little can be longer.
#[tokio::test]
async fn a_batch_has_more_lists_where_rows_seldom_come_again() {
    let batches = batches_of(10_500, 10_500).await;
    assert!(batches.iter().any(|events| *events > 3_000), "{batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 10_500);
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
    fill(&database, 9_000, FEW).await;
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
