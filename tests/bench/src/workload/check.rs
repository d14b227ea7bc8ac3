//! A fast wrong answer is no answer: every read model is compared with what SQL computes from the log.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::Bench;

const EXPECTED_ACCOUNTS: &str = include_str!("../sql/expected_accounts.sql");

/// Compares the accounts of a schema with those of the log.
pub async fn accounts(bench: &Bench, database: &str, schema: &str) -> anyhow::Result<()> {
    let found = format!("SELECT id, owner, balance, open, last_position FROM {schema}.account");
    let sql = format!(
        "WITH expected AS MATERIALIZED ({EXPECTED_ACCOUNTS}), found AS MATERIALIZED ({found})
         SELECT (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) w) AS wrong,
                (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) m) AS missing"
    );
    let mut connection = PgConnection::connect(&bench.server.url_of(database)).await?;
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(&mut connection)
        .await?;
    let (wrong, missing): (i64, i64) = (row.get("wrong"), row.get("missing"));
    connection.close().await?;
    anyhow::ensure!(
        (wrong, missing) == (0, 0),
        "the accounts of {schema} are not those of the log: {wrong} wrong, {missing} missing"
    );
    Ok(())
}

/// What one query counts.
pub async fn count(
    bench: &Bench,
    database: &str,
    query: &'static str,
    expected: u64,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&bench.server.url_of(database)).await?;
    let found: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
    connection.close().await?;
    anyhow::ensure!(
        found.unsigned_abs() == expected,
        "{query} says {found}, not {expected}"
    );
    Ok(())
}
