//! Every statement file fits the schema that the migrations make. Statements are checked when they run and not when they
//! are compiled, so this is where a misspelt column shows. And those of guests are what they are, however many there are.

use std::fs;

use projectionist::store::{EventSource, Value};
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use crate::support::rows::opened_of;
use crate::support::{TestDatabase, repository};

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    let source = EventSource::built_in();
    let folder = repository().join("host/src/store/sql");
    let mut prepared = 0;
    let mut broken = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of statements") {
        let path = entry.expect("an entry of it").path();
        let text = fs::read_to_string(&path).expect("a statement");
        // What a subscription wants is filled in by the store; any condition will do here.
        let sql = source.render(&text.replace("{filter}", "true"));
        let statement = AssertSqlSafe(sql).into_sql_str();
        match connection.prepare(statement).await {
            Ok(_) => prepared += 1,
            Err(error) => broken.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(prepared > 40, "only {prepared} statements were found");
}

/// More different statements than a batch keeps, each with parameters and columns of its own.
#[tokio::test]
async fn statements_that_take_turns_keep_their_types() {
    let database = TestDatabase::new().await;
    let mut batch = opened_of(&database, "accounts_by_many").await;
    for round in 0..3_i64 {
        for number in 0..20_i64 {
            let (name, sql, given, expected) = if number % 2 == 0 {
                let sum = Value::Integer(round + number);
                let sql = format!("SELECT $1::bigint + {number} AS sum");
                ("sum", sql, Value::Integer(round), sum)
            } else {
                let text = Value::Text(format!("{round}-{number}"));
                let sql = format!("SELECT $1::text || '-{number}' AS text");
                ("text", sql, Value::Text(round.to_string()), text)
            };
            let found = batch.query(&sql, &[given]).await.expect(&sql);
            assert_eq!(found.rows, [[expected]], "{sql}");
            assert_eq!(found.columns[0].name, name, "{sql}");
        }
    }
    // What is undone with a savepoint is known all the same.
    let insert = "INSERT INTO account (id, owner, balance, open, last_position) VALUES ($1, '', $2, true, 1)";
    let account = |balance| [Value::Text("a".to_owned()), Value::Integer(balance)];
    assert_eq!(batch.try_execute(insert, &account(1)).await, Ok(1));
    let again = batch.try_execute(insert, &account(2)).await;
    assert_eq!(
        again.expect_err("it is there").sqlstate.as_deref(),
        Some("23505")
    );
    assert_eq!(batch.execute("DELETE FROM account", &[]).await, Ok(1));
    assert_eq!(batch.execute(insert, &account(3)).await, Ok(1));
    batch.rollback().await.expect("nothing of it counts");
}
