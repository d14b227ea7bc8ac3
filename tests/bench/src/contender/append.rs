//! Clients that append single events, each on a connection of its own and in transactions of their own.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::{begin, say_ready};
use crate::sample::Sample;

const CLIENTS: u32 = 32;

/// How long they go on before it counts: longer than a host that nobody rings for sleeps, so that it is busy whatever the trigger does.
const BEFORE: Duration = Duration::from_millis(1_300);

const DEPOSITED: &str = r#"[{"type":"MoneyDeposited","data":{"account":"000001","amount":5,"currency":"EUR","channel":"mobile","counterparty":"DE89370400440532013000","reference":"REF-0000000001","note":"rent"}}]"#;
const OPENED: &str =
    r#"[{"type":"AccountOpened","data":{"account":"000001","owner":"Ada Lovelace"}}]"#;
const APPEND: &str = "SELECT count(*) FROM projectionist.append($1, NULL, $2::text::json)";

/// Goes on until told otherwise.
pub async fn run(url: &str, stop: impl Future<Output = ()>) -> anyhow::Result<Sample> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(PgConnection::connect(url).await?);
    }
    append(&mut connections[0], "account-000001", OPENED).await?;
    let mut clients: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        clients.spawn(async move {
            // A stream each: appenders to one stream wait for each other, as they should.
            let stream = format!("client-{number}");
            loop {
                append(&mut connection, &stream, DEPOSITED).await?;
            }
        });
    }
    unless_one_fails(&mut clients, tokio::time::sleep(BEFORE)).await?;
    let began = begin()?;
    say_ready();
    unless_one_fails(&mut clients, stop).await?;
    // Whoever looks on counts them.
    Sample::since(&began, 0)
}

async fn unless_one_fails(
    clients: &mut JoinSet<anyhow::Result<()>>,
    until: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tokio::select! {
        Some(ended) = clients.join_next() => ended?,
        () = until => Ok(()),
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
