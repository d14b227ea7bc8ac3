//! What PostgreSQL can do by itself: reading the log, and folding it in one statement.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::begin;
use crate::sample::Sample;

/// The query whose answer every read model of accounts must equal.
pub const EXPECTED_ACCOUNTS: &str = include_str!("../sql/expected_accounts.sql");

/// The table as every contender has it, in a schema of its own.
pub const ACCOUNT_COLUMNS: &str = "(id text PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL, open boolean NOT NULL, last_position bigint NOT NULL)";

/// Percent of a page that new rows fill: all of it where each row is written once, and half where rows change again, as the guests' tables
/// have it.
pub const WRITTEN_ONCE: u8 = 100;
pub const CHANGES_AGAIN: u8 = 50;

/// What a fold needs of every event, over one connection.
pub const READ_EVENTS: &str = "SELECT position, stream, type, data FROM projectionist.events WHERE position > $1 ORDER BY position LIMIT $2";

pub async fn raw_read(url: &str) -> anyhow::Result<Sample> {
    let mut connection = PgConnection::connect(url).await?;
    let began = begin()?;
    let (mut events, mut bytes) = (0, 0);
    let mut rows = sqlx::query(READ_EVENTS)
        .bind(0_i64)
        .bind(i64::MAX)
        .fetch(&mut connection);
    while let Some(row) = rows.try_next().await? {
        let _position: i64 = row.try_get(0)?;
        let (stream, event_type): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        // Unchecked: the driver would insist on parsing it.
        let data: &str = row.try_get_unchecked(3)?;
        bytes += stream.len() + event_type.len() + data.len();
        events += 1;
    }
    drop(rows);
    anyhow::ensure!(bytes > 0, "the log is empty");
    let sample = Sample::since(&began, events)?;
    connection.close().await?;
    Ok(sample)
}

pub async fn set_based(url: &str) -> anyhow::Result<Sample> {
    let mut connection = PgConnection::connect(url).await?;
    make_schema(&mut connection, "set_based", WRITTEN_ONCE).await?;
    let began = begin()?;
    let sql = format!(
        "INSERT INTO set_based.account (id, owner, balance, open, last_position) {EXPECTED_ACCOUNTS}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    let measured = Sample::since(&began, 0)?;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM projectionist.events")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(Sample {
        events: events.unsigned_abs(),
        ..measured
    })
}

/// Makes the tables of a native program, and prepares its session: no commit waits for the disk, because all of it could be
/// replayed.
pub async fn make_schema(
    connection: &mut PgConnection,
    schema: &str,
    fillfactor: u8,
) -> anyhow::Result<()> {
    let sql = format!(
        "SET synchronous_commit = off;
         CREATE SCHEMA {schema};
         CREATE TABLE {schema}.account {ACCOUNT_COLUMNS} WITH (fillfactor = {fillfactor});
         CREATE TABLE {schema}.checkpoint (position bigint NOT NULL);
         INSERT INTO {schema}.checkpoint (position) VALUES (0);
         SET search_path = {schema}"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}
