//! No sin: balances per account and in total, in one of several shapes of tables. Tests make versions of it: they change the number
//! of its id and the word for its shape in the module, by others of the same length.

use projectionist_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::hint::black_box;

/// The number is changed from 101 on.
const ID: &str = "ledger_101";

/// `shape-plain`, `shape-wider` (a column more, and another order), `shape-typed` (a column of another type), `shape-table` (a
/// table more), `shape-stops` (as plain, and stops at the first event), `shape-waits` (as plain,
/// and goes live when it is activated).
const SHAPE: &str = "shape-plain";

const TOTAL: &str =
    "CREATE TABLE total (one boolean PRIMARY KEY, balance bigint NOT NULL, events bigint NOT NULL,
    last_position bigint NOT NULL, made_by text NOT NULL)";
const PLAIN: &str =
    "CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL, events bigint NOT NULL,
    last_position bigint NOT NULL, made_by text NOT NULL, label text)";
const WIDER: &str = "CREATE TABLE account (extra integer, label text, made_by text NOT NULL, last_position bigint NOT NULL,
    events bigint NOT NULL, balance bigint NOT NULL, id text PRIMARY KEY)";
const TYPED: &str =
    "CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL, events bigint NOT NULL,
    last_position bigint NOT NULL, made_by text NOT NULL, label bigint)";
const TABLE: &str = "CREATE TABLE remark (id text PRIMARY KEY, remark text)";

const ADD: &str = "INSERT INTO account AS a (id, balance, events, last_position, made_by)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE
    SET balance = a.balance + excluded.balance, events = a.events + excluded.events, last_position = excluded.last_position";
const ADD_TOTAL: &str = "INSERT INTO total AS t (one, balance, events, last_position, made_by)
    VALUES (true, $1, $2, $3, $4) ON CONFLICT (one) DO UPDATE
    SET balance = t.balance + excluded.balance, events = t.events + excluded.events, last_position = excluded.last_position";

#[derive(Deserialize)]
struct Moved {
    account: String,
    amount: i64,
}

#[derive(Default)]
struct Sum {
    balance: i64,
    events: i64,
    last_position: i64,
}

fn projector() -> Projector {
    let projector = Projector::new(black_box(ID))
        .setup(made)
        .on("Moved", moved)
        .after_chunk(written);
    match shape() {
        "shape-waits" => projector.option("switch", "activated"),
        _ => projector,
    }
}

fn shape() -> &'static str {
    black_box(SHAPE)
}

fn made(sql: Sql) -> Result {
    let account = match shape() {
        "shape-wider" => WIDER,
        "shape-typed" => TYPED,
        _ => PLAIN,
    };
    sql.execute(account, &[])?;
    sql.execute(TOTAL, &[])?;
    if shape() == "shape-table" {
        sql.execute(TABLE, &[])?;
    }
    Ok(())
}

fn moved(event: Event<Moved>, position: Position, sums: Fold<BTreeMap<String, Sum>>) -> Result {
    if shape() == "shape-stops" {
        return Err(Failure::stop("this version is broken"));
    }
    let mut sums = sums.get();
    let sum = sums.entry(event.account.clone()).or_default();
    sum.balance += event.amount;
    sum.events += 1;
    sum.last_position = i64::try_from(position.0)?;
    Ok(())
}

fn written(sums: Fold<BTreeMap<String, Sum>>, sql: Sql) -> Result {
    let mut total = Sum::default();
    let mut rows = Vec::new();
    for (account, sum) in sums.take() {
        total.balance += sum.balance;
        total.events += sum.events;
        total.last_position = total.last_position.max(sum.last_position);
        rows.push(params![account, sum.balance, sum.events, sum.last_position, ID].to_vec());
    }
    if rows.is_empty() {
        return Ok(());
    }
    sql.execute_many(ADD, &rows)?;
    sql.execute(
        ADD_TOTAL,
        &params![total.balance, total.events, total.last_position, ID],
    )?;
    Ok(())
}

export_projector!(projector);
