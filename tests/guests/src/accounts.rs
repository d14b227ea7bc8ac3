//! The events of the benchmark's accounts, as its guests read them.

use projectionist_sdk::{Value, prelude::*};
use serde::Deserialize;

/// The table, for guests that write it by statements: rows that change with every event have room beside them, for whoever writes them.
/// `Account` of the guest with typed tables has the same columns.
pub const CREATE_ACCOUNT: &str = "CREATE TABLE account (
    id text PRIMARY KEY,
    owner text NOT NULL,
    balance bigint NOT NULL,
    open boolean NOT NULL,
    last_position bigint NOT NULL
) WITH (fillfactor = 50)";

/// What one event does to its row; the native program beside it runs the same statement.
pub const UPSERT_ACCOUNT: &str = include_str!("../sql/upsert_account.sql");

/// `AccountOpened`.
#[derive(Deserialize)]
pub struct Opened {
    /// The account's id.
    pub account: String,
    /// Who opened it.
    pub owner: String,
}

/// `MoneyDeposited` and `MoneyWithdrawn`.
#[derive(Deserialize)]
pub struct Moved {
    /// The account's id.
    pub account: String,
    /// Always positive.
    pub amount: i64,
}

/// `AccountClosed`.
#[derive(Deserialize)]
pub struct Closed {
    /// The account's id.
    pub account: String,
}

/// The parameters of [`UPSERT_ACCOUNT`] for one event.
pub fn upsert_parameters(message: &Message) -> Result<Vec<Value>> {
    let position = i64::try_from(message.position())?;
    Ok(match message.event_type() {
        "AccountOpened" => {
            let event: Opened = message.data()?;
            params![event.account, event.owner, 0_i64, true, position]
        }
        "MoneyDeposited" => {
            let event: Moved = message.data()?;
            params![event.account, "", event.amount, true, position]
        }
        "MoneyWithdrawn" => {
            let event: Moved = message.data()?;
            params![event.account, "", -event.amount, true, position]
        }
        _ => {
            let event: Closed = message.data()?;
            params![event.account, "", 0_i64, false, position]
        }
    }
    .to_vec())
}
