//! `execute-many`: a statement once for each list of parameters, as if each were a call of its own.

use projectionist::store::{Batch, Change, Grant, Outcome, Value};
use uuid::Uuid;

use crate::support::rows::{opened, opened_for, opened_of};
use crate::support::{Modules, TestDatabase, stepped};

/// A batch of a subscription that has been set up, whose guest is not asked.
async fn batch(database: &TestDatabase) -> Box<Batch> {
    opened_of(database, "accounts_by_many").await
}

/// The same of one whose `setup` runs these statements.
async fn batch_after(database: &TestDatabase, setup: &[String]) -> Box<Batch> {
    let modules = Modules::with(&["runs_sql"]);
    let setup = setup.join("\n---\n");
    let settings = format!("[settings]\nsetup = \"\"\"\n{setup}\"\"\"\n");
    modules.put_bytes("runs_sql.toml", settings.as_bytes());
    let mut host = stepped(database, &modules).await;
    host.once().await.expect("set up");
    opened(&database.store(), "runs_sql_1").await
}

const INSERT: &str =
    "INSERT INTO account (id, owner, balance, open, last_position) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (id) DO UPDATE SET balance = account.balance + excluded.balance -- adds";

fn account(id: &str, owner: &str, balance: i64) -> Vec<Value> {
    vec![
        Value::Text(id.to_owned()),
        Value::Text(owner.to_owned()),
        Value::Integer(balance),
        Value::Boolean(true),
        Value::Integer(1),
    ]
}

#[tokio::test]
async fn many_statements_are_run_in_their_order_and_counted() {
    let database = TestDatabase::new().await;
    let mut batch = batch(&database).await;
    let odd = "it's \\ \"odd\" ' ; $1 \u{e9}\u{1f600}\n";
    let lists = [
        account("a", odd, 1),
        account("b", "", 2),
        account("a", "x", 3),
    ];
    assert_eq!(batch.execute_many(INSERT, &lists).await, Ok(3));
    // Again, with one list and with none.
    assert_eq!(batch.execute_many(INSERT, &lists[1..2]).await, Ok(1));
    assert_eq!(batch.execute_many(INSERT, &[]).await, Ok(0));
    let found = batch
        .query("SELECT id, owner, balance FROM account ORDER BY id", &[])
        .await
        .expect("rows");
    let row = |id: &str, owner: &str, balance| {
        vec![
            Value::Text(id.to_owned()),
            Value::Text(owner.to_owned()),
            Value::Integer(balance),
        ]
    };
    assert_eq!(found.rows, [row("a", odd, 4), row("b", "", 4)]);
    let position = batch.state().position;
    let outcome = batch
        .commit(position + 1, Change::Keep, Uuid::new_v4())
        .await;
    assert_eq!(outcome.expect("the end"), Outcome::Committed);
}

#[tokio::test]
async fn one_that_fails_is_the_failure_of_all() {
    let database = TestDatabase::new().await;
    let mut batch = batch(&database).await;
    let insert =
        "INSERT INTO account (id, owner, balance, open, last_position) VALUES ($1, $2, $3, $4, $5)";
    let lists = [
        account("a", "x", 1),
        account("a", "y", 2),
        account("b", "z", 3),
    ];
    let error = batch
        .execute_many(insert, &lists)
        .await
        .expect_err("a is there already");
    assert_eq!(error.sqlstate.as_deref(), Some("23505"));
    let after = batch.execute_many(insert, &lists[2..]).await;
    assert_eq!(after.expect_err("the transaction is over").kind, "aborted");
}

#[tokio::test]
async fn a_list_that_does_not_fit_is_refused_before_anything_is_run() {
    let database = TestDatabase::new().await;
    let mut batch = batch(&database).await;
    let lists = [account("a", "x", 1), vec![Value::Text("b".to_owned())]];
    let error = batch
        .execute_many(INSERT, &lists)
        .await
        .expect_err("one is too short");
    assert_eq!(error.message, "the statement has 5 parameters, 1 were sent");
    let mut lists = spread(20, 20);
    lists.push(account("b", "\0", 1));
    let error = batch.execute_many(INSERT, &lists).await;
    let error = error.expect_err("no text has that character");
    assert_eq!(
        error.message,
        "parameter $2: text must not contain the character NUL"
    );
    let found = batch
        .query("SELECT 1 FROM account", &[])
        .await
        .expect("rows");
    assert_eq!(found.rows.len(), 0);
    // The same of a statement that the batch knows.
    assert_eq!(batch.execute_many(INSERT, &spread(200, 200)).await, Ok(200));
    let error = batch.execute_many(INSERT, &lists).await;
    let error = error.expect_err("no text has that character");
    assert_eq!(error.kind, "bad-parameter");
    let found = batch
        .query("SELECT 1 FROM account WHERE balance = 1", &[])
        .await
        .expect("rows");
    assert_eq!(
        found.rows.len(),
        200,
        "they are as the first call left them"
    );
}

/// Lists with the keys that a number gives, so often.
fn spread(keys: usize, lists: usize) -> Vec<Vec<Value>> {
    (0..lists)
        .map(|number| account(&format!("{:03}", number % keys), "'", 1))
        .collect()
}

#[tokio::test]
async fn lists_count_each_however_they_go_out() {
    for (keys, lists) in [(100, 1_000), (1, 50), (3, 40)] {
        let database = TestDatabase::new().await;
        let mut batch = batch(&database).await;
        let affected = batch.execute_many(INSERT, &spread(keys, lists)).await;
        assert_eq!(affected, Ok(lists as u64), "{keys} keys");
        let sums = "SELECT count(*), sum(balance)::bigint, min(owner) FROM account";
        let found = batch.query(sums, &[]).await.expect("a row");
        let expected = [
            Value::Integer(keys as i64),
            Value::Integer(lists as i64),
            Value::Text("'".to_owned()),
        ];
        assert_eq!(found.rows, [expected]);
    }
}

#[tokio::test]
async fn what_one_of_many_rows_violates_is_told() {
    let database = TestDatabase::new().await;
    let mut batch = batch(&database).await;
    let insert =
        "INSERT INTO account (id, owner, balance, open, last_position) VALUES ($1, $2, $3, $4, $5)";
    let mut lists = spread(50, 50);
    lists.push(account("007", "again", 1));
    let error = batch.execute_many(insert, &lists).await;
    let error = error.expect_err("007 is there already");
    assert_eq!(error.sqlstate.as_deref(), Some("23505"));
    let mut batch = self::batch(&database).await;
    lists[50] = vec![
        Value::Text("x".to_owned()),
        Value::Null,
        Value::Integer(1),
        Value::Null,
        Value::Integer(1),
    ];
    let error = batch.execute_many(insert, &lists).await;
    assert_eq!(
        error.expect_err("not null").sqlstate.as_deref(),
        Some("23502")
    );
}

/// Columns of every type that goes out in arrays.
const TYPED: &str = "(id bigint PRIMARY KEY, a text, b varchar(9), c int2, d int4, e float4, f float8, g numeric(20, 5), h uuid, \
     i date, j timestamp, k timestamptz, l json, m jsonb, n bool)";

/// A row of these, in which every other value is NULL for some numbers.
fn typed(number: i64) -> Vec<Value> {
    let values = [
        Value::Integer(number),
        Value::Text(format!("ü'{number}")),
        Value::Text("nine char".to_owned()),
        Value::Integer(-number),
        Value::Integer(number * 1_000_000),
        Value::Float(0.5),
        Value::Float(number as f64 / 3.0),
        Value::Numeric(format!("-{number}.00250")),
        Value::Uuid(Uuid::from_u128(number.unsigned_abs().into()).to_string()),
        Value::Date(-20_000),
        Value::Timestamp(number),
        Value::Timestamptz(-number),
        Value::Json("{\"b\":1,  \"a\":[]}".to_owned()),
        Value::Json("{\"b\":1,  \"a\":[]}".to_owned()),
        Value::Boolean(number % 4 == 0),
    ];
    let keeps = |index: usize| index == 0 || !(number as usize + index).is_multiple_of(3);
    let place = |(index, value)| if keeps(index) { value } else { Value::Null };
    values.into_iter().enumerate().map(place).collect()
}

#[tokio::test]
async fn every_type_is_the_same_alone_and_among_many() {
    let database = TestDatabase::new().await;
    let setup = ["many", "alone"].map(|name| format!("CREATE TABLE {name} {TYPED}"));
    let mut batch = batch_after(&database, &setup).await;
    let insert = |table: &str| {
        format!(
            "INSERT INTO {table} (id, a, b, c, d, e, f, g, h, i, j, k, l, m, n) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
        )
    };
    let lists: Vec<Vec<Value>> = (0..30).map(typed).collect();
    let affected = batch.execute_many(&insert("many"), &lists).await;
    assert_eq!(affected, Ok(30));
    for list in &lists {
        assert_eq!(batch.execute(&insert("alone"), list).await, Ok(1));
    }
    let rows = "SELECT (SELECT string_agg(many::text, '|' ORDER BY id) FROM many),
                       (SELECT string_agg(alone::text, '|' ORDER BY id) FROM alone)";
    let found = batch.query(rows, &[]).await.expect("a row");
    assert_eq!(found.rows[0][0], found.rows[0][1]);
}

/// What a table has beside a key `id` and a number `n`, what else an upsert adds to it, and whether its rows are independent.
const TABLES: [(&str, &str, bool); 6] = [
    ("", "n = t.n + excluded.n", true),
    (", UNIQUE (n)", "n = excluded.n", false),
    (", EXCLUDE (n WITH =)", "n = excluded.n", false),
    (", m bigserial", "n = t.n * 2 + excluded.n", false),
    (
        ", m bigint GENERATED ALWAYS AS IDENTITY",
        "n = t.n * 2 + excluded.n",
        false,
    ),
    (", m bigint", "m = nextval('counter_NAME')", false),
];

/// Lists of a hundred keys, each twice in a row, with numbers that no two rows ever have at once if the order is kept.
fn pairs() -> Vec<Vec<Value>> {
    let list = |number: i64| {
        let id = number / 2;
        let n = if number % 2 == 0 { 0 } else { id + 1 };
        vec![Value::Integer(id), Value::Integer(n)]
    };
    (0..200).map(list).collect()
}

#[tokio::test]
async fn what_setup_changes_between_two_calls_counts() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["runs_sql"]);
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("set up");
    let mut batch = opened_for(&database.store(), "runs_sql_1", Grant::Define).await;
    let table = "CREATE TABLE many (id bigint PRIMARY KEY, n bigint)";
    batch.execute(table, &[]).await.expect("made");
    let upsert =
        "INSERT INTO many (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = excluded.n";
    assert_eq!(batch.execute_many(upsert, &pairs()).await, Ok(200));
    let others = "DELETE FROM many; CREATE UNIQUE INDEX ON many (n)";
    for statement in others.split("; ") {
        batch.execute(statement, &[]).await.expect(statement);
    }
    assert_eq!(batch.execute_many(upsert, &pairs()).await, Ok(200));
}

#[tokio::test]
async fn nobody_can_tell_that_lists_of_different_rows_change_places() {
    let database = TestDatabase::new().await;
    let mut setup: Vec<String> = Vec::new();
    for name in ["many", "alone"] {
        setup.push(format!("CREATE SEQUENCE counter_{name}"));
        for (index, (beside, ..)) in TABLES.iter().enumerate() {
            setup.push(format!(
                "CREATE TABLE {name}_{index} (id bigint PRIMARY KEY, n bigint{beside})"
            ));
        }
    }
    let mut batch = batch_after(&database, &setup).await;
    for (index, (beside, change, is_independent)) in TABLES.iter().enumerate() {
        let upsert = |name| {
            let change = change.replace("NAME", name);
            format!(
                "INSERT INTO {name}_{index} AS t (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET {change}"
            )
        };
        let affected = batch.execute_many(&upsert("many"), &pairs()).await;
        assert_eq!(affected, Ok(200), "{beside} {change}");
        for list in pairs() {
            assert_eq!(batch.execute(&upsert("alone"), &list).await, Ok(1));
        }
        let rows = format!(
            "SELECT (SELECT string_agg(r::text, '|' ORDER BY id) FROM many_{index} r),
                    (SELECT string_agg(r::text, '|' ORDER BY id) FROM alone_{index} r),
                    (SELECT count(DISTINCT cmin::text) FROM many_{index})"
        );
        let found = batch.query(&rows, &[]).await.expect("a row");
        assert_eq!(found.rows[0][0], found.rows[0][1], "{beside} {change}");
        // The last of each pair wrote the row: by one statement for all of them, or by one for each.
        let statements = if *is_independent { 1 } else { 100 };
        let found = &found.rows[0][2];
        assert_eq!(*found, Value::Integer(statements), "{beside} {change}");
    }
}
