//! Clients that append single events, each on a connection of its own and in transactions of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::begin;
use crate::sample::Sample;

const CLIENTS: u32 = 32;

/// How long they go on before it counts: longer than a host that nobody rings for sleeps, so that it is busy whatever the trigger does.
const BEFORE: Duration = Duration::from_millis(1_300);

/// How long they go on while it counts.
const TIME: Duration = Duration::from_secs(2);

const DEPOSITED: &str = r#"[{"type":"MoneyDeposited","data":{"account":"000001","amount":5,"currency":"EUR","channel":"mobile","counterparty":"DE89370400440532013000","reference":"REF-0000000001","note":"rent"}}]"#;
const OPENED: &str =
    r#"[{"type":"AccountOpened","data":{"account":"000001","owner":"Ada Lovelace"}}]"#;
const APPEND: &str = "SELECT count(*) FROM projectionist.append($1, NULL, $2::text::json)";

pub async fn run(url: &str) -> anyhow::Result<Sample> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(PgConnection::connect(url).await?);
    }
    append(&mut connections[0], "account-000001", OPENED).await?;
    let appended = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let appended = Arc::clone(&appended);
        clients.spawn(async move {
            // A stream each: appenders to one stream wait for each other, as they should.
            let stream = format!("client-{number}");
            loop {
                append(&mut connection, &stream, DEPOSITED).await?;
                appended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    sleep_unless_one_fails(BEFORE, &mut clients).await?;
    let (began, before) = (begin()?, appended.load(Ordering::Relaxed));
    sleep_unless_one_fails(TIME, &mut clients).await?;
    Sample::since(&began, appended.load(Ordering::Relaxed) - before)
}

async fn sleep_unless_one_fails(
    time: Duration,
    clients: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match tokio::time::timeout(time, clients.join_next()).await {
        Err(_) | Ok(None) => Ok(()),
        Ok(Some(ended)) => ended?,
    }
}

async fn append(
    connection: &mut PgConnection,
    stream: &str,
    events: &'static str,
) -> anyhow::Result<()> {
    let _: i64 = sqlx::query_scalar(APPEND)
        .bind(stream)
        .bind(events)
        .fetch_one(connection)
        .await?;
    Ok(())
}
