//! The best that a native program does with the same log and table: while one batch is folded in memory, the next is read
//! and the one before is written.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::mpsc;

use super::begin;
use super::references::{CHANGES_AGAIN, READ_EVENTS, make_schema};
use crate::sample::Sample;

/// Events of one transaction.
const BATCH_EVENTS: i64 = 5_000;

/// Batches between two stages.
const AHEAD: usize = 2;

#[derive(Deserialize)]
pub struct Opened {
    pub account: String,
    pub owner: String,
}

#[derive(Deserialize)]
pub struct Moved {
    pub account: String,
    pub amount: i64,
}

#[derive(Deserialize)]
pub struct Closed {
    pub account: String,
}

/// The rows that a batch changed, as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    owners: Vec<String>,
    balances: Vec<i64>,
    open: Vec<bool>,
    last_positions: Vec<i64>,
    from: i64,
    to: i64,
}

struct Account {
    id: String,
    owner: String,
    balance: i64,
    open: bool,
    last_position: i64,
    /// The batch that changed it last.
    batch: usize,
}

#[derive(Default)]
struct Accounts {
    rows: Vec<Account>,
    by_id: HashMap<String, usize>,
    batch: usize,
    changed: Vec<usize>,
}

pub async fn run(url: &str) -> anyhow::Result<Sample> {
    let mut reader = PgConnection::connect(url).await?;
    let mut writer = PgConnection::connect(url).await?;
    make_schema(&mut writer, "native_fold", CHANGES_AGAIN).await?;

    let began = begin()?;
    let (read, mut pages) = mpsc::channel(AHEAD);
    let (folded, batches) = mpsc::channel(AHEAD);
    let reading = tokio::spawn(async move {
        read_all(&mut reader, read).await?;
        anyhow::Ok(reader.close().await?)
    });
    let writing = tokio::spawn(async move {
        write_all(&mut writer, batches).await?;
        anyhow::Ok(writer.close().await?)
    });
    let mut accounts = Accounts::default();
    let (mut events, mut position) = (0, 0);
    while let Some(page) = pages.recv().await {
        let columns = accounts.fold(&page, position)?;
        events += page.len() as u64;
        position = columns.to;
        if folded.send(columns).await.is_err() {
            break;
        }
    }
    drop(folded);
    writing.await??;
    let sample = Sample::since(&began, events)?;
    reading.await??;
    Ok(sample)
}

async fn read_all(
    connection: &mut PgConnection,
    pages: mpsc::Sender<Vec<PgRow>>,
) -> anyhow::Result<()> {
    let mut position = 0_i64;
    loop {
        let page = sqlx::query(READ_EVENTS)
            .bind(position)
            .bind(BATCH_EVENTS)
            .fetch_all(&mut *connection)
            .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        position = last.try_get(0)?;
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
}

async fn write_all(
    connection: &mut PgConnection,
    mut batches: mpsc::Receiver<Columns>,
) -> anyhow::Result<()> {
    while let Some(batch) = batches.recv().await {
        let moved = sqlx::query(include_str!("../sql/upsert_accounts.sql"))
            .bind(batch.ids)
            .bind(batch.owners)
            .bind(batch.balances)
            .bind(batch.open)
            .bind(batch.last_positions)
            .bind(batch.from)
            .bind(batch.to)
            .execute(&mut *connection)
            .await?;
        anyhow::ensure!(moved.rows_affected() == 1, "the checkpoint is elsewhere");
    }
    Ok(())
}

impl Accounts {
    fn fold(&mut self, page: &[PgRow], from: i64) -> anyhow::Result<Columns> {
        self.batch += 1;
        self.changed.clear();
        let mut position = from;
        for row in page {
            position = row.try_get(0)?;
            let event_type: &str = row.try_get(2)?;
            let data: &str = row.try_get_unchecked(3)?;
            match event_type {
                "AccountOpened" => {
                    let event: Opened = serde_json::from_str(data)?;
                    self.account(&event.account, position).owner = event.owner;
                }
                "MoneyDeposited" => {
                    let event: Moved = serde_json::from_str(data)?;
                    self.account(&event.account, position).balance += event.amount;
                }
                "MoneyWithdrawn" => {
                    let event: Moved = serde_json::from_str(data)?;
                    self.account(&event.account, position).balance -= event.amount;
                }
                "AccountClosed" => {
                    let event: Closed = serde_json::from_str(data)?;
                    self.account(&event.account, position).open = false;
                }
                _ => {}
            }
        }
        Ok(self.columns(from, position))
    }

    fn account(&mut self, id: &str, position: i64) -> &mut Account {
        let place = match self.by_id.get(id) {
            Some(place) => *place,
            None => {
                self.rows.push(Account {
                    id: id.to_owned(),
                    owner: String::new(),
                    balance: 0,
                    open: true,
                    last_position: 0,
                    batch: 0,
                });
                self.by_id.insert(id.to_owned(), self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        let account = &mut self.rows[place];
        if account.batch != self.batch {
            account.batch = self.batch;
            self.changed.push(place);
        }
        account.last_position = position;
        account
    }

    fn columns(&self, from: i64, to: i64) -> Columns {
        let mut columns = Columns {
            from,
            to,
            ..Columns::default()
        };
        for place in &self.changed {
            let account = &self.rows[*place];
            columns.ids.push(account.id.clone());
            columns.owners.push(account.owner.clone());
            columns.balances.push(account.balance);
            columns.open.push(account.open);
            columns.last_positions.push(account.last_position);
        }
        columns
    }
}
