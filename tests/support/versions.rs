//! Versions of one guest: the same module under other numbers and with other shapes of its tables.

use std::collections::BTreeMap;
use std::time::Duration;

use projectionist::store::ExpectedVersion;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use super::log::{Appender, event};
use super::modules::bytes_of;
use super::{Modules, PATIENCE, TestDatabase, eventually};

/// The pause of somebody who appends continuously.
const APPENDER_PAUSE: Duration = Duration::from_millis(4);

/// The line of the guest `ledger`.
pub const LEDGER: &str = "ledger";

/// A row of `ledger.account`, as far as all shapes have it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    pub balance: i64,
    pub events: i64,
    pub last_position: i64,
}

/// The guest with another number, which has three digits.
pub fn numbered(guest: &str, line: &str, version: u32) -> Vec<u8> {
    let from = format!("{line}_101");
    replace(bytes_of(guest), &from, &format!("{line}_{version}"))
}

/// A version of the guest `ledger`. `shape`: `plain`, `wider`, `typed`, `table`, `stops` or `waits`.
pub fn ledger(version: u32, shape: &str) -> Vec<u8> {
    let bytes = numbered("ledger", LEDGER, version);
    replace(bytes, "shape-plain", &format!("shape-{shape}"))
}

/// Other text of the same length in a module.
pub fn replace(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "{from} and {to} are equally long");
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "{from} is not in the module");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

impl Modules {
    /// Puts a version of the ledger into a file.
    pub fn put_ledger(&self, file: &str, version: u32, shape: &str) {
        self.put_bytes(file, &ledger(version, shape));
    }
}

impl TestDatabase {
    /// Moves money on so many accounts; the position of the last event.
    pub async fn append_moves(&self, count: usize) -> i64 {
        let moves: Vec<_> = (0..count)
            .map(|nth| {
                event(
                    "Moved",
                    &json!({"account": format!("a{}", nth % 7), "amount": nth}),
                )
            })
            .collect();
        let appended = self.append("moves", &moves).await;
        appended.last().map_or(0, |event| event.position)
    }

    /// Moves money, a few events at a time, until told to stop.
    pub fn append_moves_continuously(&self) -> Appender {
        let (store, stop) = (self.store(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut count = 0;
            while !stopped.is_cancelled() {
                let amount = i64::try_from(count).unwrap_or_default();
                let moved = |nth: usize| {
                    let account = format!("a{}", (count + nth) % 7);
                    event("Moved", &json!({"account": account, "amount": amount}))
                };
                let moves = [moved(0), moved(1)];
                let appended = store.append("moves", ExpectedVersion::Any, &moves).await;
                count += appended.map_or(0, |appended| appended.len());
                tokio::time::sleep(APPENDER_PAUSE).await;
            }
            count
        });
        Appender::new(stop, task)
    }

    /// The version that readers of a line see.
    pub async fn live(&self, line: &str) -> Option<String> {
        let row = self.store().line(line).await.expect("an answer");
        row.and_then(|row| row.live)
    }

    /// Waits until readers see this version.
    pub async fn until_live(&self, line: &str, id: &str) {
        eventually(PATIENCE * 2, async || {
            let row = self.store().line(line).await.expect("an answer");
            let live = row.as_ref().and_then(|row| row.live.clone());
            match live.as_deref() == Some(id) {
                true => Ok(()),
                false => Err(format!(
                    "{live:?} is live, not {id}, which is {}; {:?}",
                    self.standing(id).await,
                    row.and_then(|row| row.obstacle)
                )),
            }
        })
        .await;
    }

    /// The accounts as a schema has them: that of a version or that of the line.
    pub async fn accounts(&self, schema: &str) -> Result<BTreeMap<String, Account>, sqlx::Error> {
        let select = format!("SELECT id, balance, events, last_position FROM \"{schema}\".account");
        self.read_accounts(select).await
    }

    /// The accounts as the log says they are, up to a position.
    pub async fn expected_accounts(&self, up_to: i64) -> BTreeMap<String, Account> {
        let select = format!(
            "SELECT data ->> 'account' AS id, sum((data ->> 'amount')::bigint)::bigint AS balance,
                    count(*) AS events, max(position) AS last_position
             FROM projectionist.events WHERE type = 'Moved' AND position <= {up_to} GROUP BY 1"
        );
        self.read_accounts(select).await.expect("rows")
    }

    async fn read_accounts(
        &self,
        select: String,
    ) -> Result<BTreeMap<String, Account>, sqlx::Error> {
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(select))
            .fetch_all(self.pool())
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, balance, events, last_position)| {
                let account = Account {
                    balance,
                    events,
                    last_position,
                };
                (id, account)
            })
            .collect())
    }

    /// Waits until a version has dealt with the whole log, then demands that its tables are what the log says.
    pub async fn until_ledger_is_right(&self, id: &str) {
        let head = self.store().head().await.expect("a head");
        eventually(PATIENCE, async || match self.position(id).await {
            position if position >= head => Ok(()),
            position => Err(format!("{id} is at {position} of {head}")),
        })
        .await;
        self.assert_ledger(id).await;
    }

    /// Demands that the tables of a version are what the log says up to its checkpoint.
    pub async fn assert_ledger(&self, id: &str) {
        let position = self.position(id).await;
        let found = self.accounts(id).await.expect("rows");
        assert_eq!(
            found,
            self.expected_accounts(position).await,
            "{id} at {position}"
        );
    }
}
