//! A native program that runs one statement an event and waits for each answer, in transactions of a thousand.

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::begin;
use super::fold::{Closed, Moved, Opened};
use super::references::{CHANGES_AGAIN, READ_EVENTS, make_schema};
use crate::sample::Sample;

/// Events of one transaction.
const BATCH_EVENTS: i64 = 1_000;

/// The statement of the guest that this is held against.
pub const UPSERT: &str = include_str!("../../../guests/sql/upsert_account.sql");

pub async fn run(url: &str) -> anyhow::Result<Sample> {
    let mut reader = PgConnection::connect(url).await?;
    let mut writer = PgConnection::connect(url).await?;
    make_schema(&mut writer, "native_per_event", CHANGES_AGAIN).await?;

    let began = begin()?;
    let (mut events, mut position) = (0, 0_i64);
    loop {
        let page = sqlx::query(READ_EVENTS)
            .bind(position)
            .bind(BATCH_EVENTS)
            .fetch_all(&mut reader)
            .await?;
        let Some(last) = page.last() else {
            break;
        };
        let from = std::mem::replace(&mut position, last.try_get(0)?);
        let mut transaction = writer.begin().await?;
        for row in &page {
            upsert(&mut transaction, row).await?;
        }
        sqlx::query("UPDATE checkpoint SET position = $2 WHERE position = $1")
            .bind(from)
            .bind(position)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        events += page.len() as u64;
    }
    let sample = Sample::since(&began, events)?;
    writer.close().await?;
    reader.close().await?;
    Ok(sample)
}

/// Runs the statement of one event.
pub async fn upsert(connection: &mut PgConnection, row: &PgRow) -> anyhow::Result<()> {
    let position: i64 = row.try_get(0)?;
    let event_type: &str = row.try_get(2)?;
    let data: &str = row.try_get_unchecked(3)?;
    let (account, owner, balance, open) = match event_type {
        "AccountOpened" => {
            let event: Opened = serde_json::from_str(data)?;
            (event.account, event.owner, 0, true)
        }
        "MoneyDeposited" => {
            let event: Moved = serde_json::from_str(data)?;
            (event.account, String::new(), event.amount, true)
        }
        "MoneyWithdrawn" => {
            let event: Moved = serde_json::from_str(data)?;
            (event.account, String::new(), -event.amount, true)
        }
        _ => {
            let event: Closed = serde_json::from_str(data)?;
            (event.account, String::new(), 0, false)
        }
    };
    sqlx::query(UPSERT)
        .bind(account)
        .bind(owner)
        .bind(balance)
        .bind(open)
        .bind(position)
        .execute(connection)
        .await?;
    Ok(())
}
