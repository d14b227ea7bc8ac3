//! A guest's session resolves names in its own schema, also those of what the host does there. Nothing that a schema could hold
//! changes what that means, even if the walls before it were not there.

use projectionist::store::{Change, Value};
use sqlx::AssertSqlSafe;
use subscription::Status;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::rows::{opened, projector, register};

/// A table with a column of each kind that is compared or computed with, and operators and functions that fit those better than
/// PostgreSQL's own and say something else. The audit of `setup` would refuse them, so it is not the guest that makes them.
const SHADOWS: &str = "
    CREATE TABLE accounts_1.t (k varchar, v varchar, at timestamptz, day date, n bigint, PRIMARY KEY (k, v));
    CREATE FUNCTION accounts_1.never(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
    CREATE FUNCTION accounts_1.zero(numeric, integer) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT 0::numeric';
    CREATE FUNCTION accounts_1.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text';
    CREATE FUNCTION accounts_1.coalesce(varchar, varchar) RETURNS varchar LANGUAGE sql AS 'SELECT NULL::varchar';
    CREATE OPERATOR accounts_1.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = accounts_1.never);
    CREATE OPERATOR accounts_1.* (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = accounts_1.zero);
    GRANT SELECT, INSERT, UPDATE, DELETE ON accounts_1.t TO PUBLIC;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA accounts_1 TO PUBLIC";

/// Microseconds since the epoch, and days.
const AT: i64 = 1_700_000_000_123_456;
const DAY: i32 = 19_675;

fn key() -> Vec<Value> {
    vec![Value::Text("a".to_owned()), Value::Text("b".to_owned())]
}

fn row(n: i64) -> Vec<Value> {
    let rest = [Value::Timestamptz(AT), Value::Date(DAY), Value::Integer(n)];
    [key(), rest.to_vec()].concat()
}

#[tokio::test]
async fn what_a_schema_holds_changes_nothing_of_what_the_host_does_in_it() {
    let database = TestDatabase::new().await;
    register(&database.store(), projector("accounts_1"), Status::Active).await;
    sqlx::raw_sql(AssertSqlSafe(SHADOWS))
        .execute(database.pool())
        .await
        .expect("made");

    // They do shadow what a statement of the guest says.
    let mut first = opened(&database.store(), "accounts_1").await;
    let told = first
        .query(
            "SELECT ('a'::varchar = 'a'::varchar)::text, (2::numeric * 3)::text",
            &[],
        )
        .await
        .expect("an answer");
    let shadowed = ["false", "0"].map(|text| Value::Text(text.to_owned()));
    assert_eq!(told.rows, [shadowed]);

    first.put_rows("t", vec![row(1)]).await.expect("put");
    first.flush().await.expect("written");
    let committed = first.commit(1, Change::Keep, Uuid::nil());
    committed.await.expect("committed");

    let mut second = opened(&database.store(), "accounts_1").await;
    let found = second.get_rows("t", vec![key()]).await.expect("rows");
    assert_eq!(found, [Some(row(1))]);
    second.put_rows("t", vec![row(2)]).await.expect("put");
    second.flush().await.expect("written");
    second.delete_rows("t", vec![key()]).await.expect("deleted");
    second.flush().await.expect("written");
    let left = second.query("SELECT n FROM t", &[]).await.expect("rows");
    assert_eq!(left.rows.len(), 0);
    second.rollback().await.expect("rolled back");
}
