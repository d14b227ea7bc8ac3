//! No sin: the accounts of the benchmark, through a typed table.

use projectionist_sdk::prelude::*;
use test_guests::accounts::{Closed, Moved, Opened};

#[derive(Table, Default)]
#[table(name = "account", fillfactor = 50)]
struct Account {
    #[key]
    id: String,
    owner: String,
    balance: i64,
    open: bool,
    last_position: i64,
}

fn projector() -> Projector {
    Projector::new("accounts_1")
        .table::<Account>()
        .prefetch::<Account, _, _>("*", |stream: StreamId| {
            stream.after("account-").map(str::to_owned)
        })
        .on("AccountOpened", opened)
        .on("MoneyDeposited", deposited)
        .on("MoneyWithdrawn", withdrawn)
        .on("AccountClosed", closed)
}

fn opened(event: Event<Opened>, position: Position, accounts: Table<Account>) -> Result {
    let Event(Opened { account, owner }) = event;
    accounts.put(&Account {
        id: account,
        owner,
        balance: 0,
        open: true,
        last_position: i64::try_from(position.0)?,
    })
}

fn deposited(event: Event<Moved>, position: Position, accounts: Table<Account>) -> Result {
    let position = i64::try_from(position.0)?;
    accounts.update(event.account.as_str(), |account| {
        account.balance += event.amount;
        account.last_position = position;
    })
}

fn withdrawn(event: Event<Moved>, position: Position, accounts: Table<Account>) -> Result {
    let position = i64::try_from(position.0)?;
    accounts.update(event.account.as_str(), |account| {
        account.balance -= event.amount;
        account.last_position = position;
    })
}

fn closed(event: Event<Closed>, position: Position, accounts: Table<Account>) -> Result {
    let position = i64::try_from(position.0)?;
    accounts.update(event.account.as_str(), |account| {
        account.open = false;
        account.last_position = position;
    })
}

export_projector!(projector);
