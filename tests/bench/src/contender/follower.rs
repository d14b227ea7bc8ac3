//! What somebody would write by hand to follow a log live: LISTEN, read what is new, one upsert an event. It knows nothing
//! of holes, so it may lose events; it is here for its speed alone.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::begin;
use super::per_event::upsert;
use super::references::{CHANGES_AGAIN, READ_EVENTS, make_schema};
use crate::sample::Sample;

/// Events that are read at a time.
const PAGE_EVENTS: i64 = 100;

/// An append that looked at the bell before it was armed does not ring.
const TICK: Duration = Duration::from_secs(1);

/// The bell rings for whoever said until when he sleeps: in an hour.
const ARM_BELL: &str = "SELECT setval('projectionist.bell', (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 3600000)";

pub async fn run(url: &str, stop: impl Future<Output = ()>) -> anyhow::Result<Sample> {
    let mut connection = PgConnection::connect(url).await?;
    make_schema(&mut connection, "native_follower", CHANGES_AGAIN).await?;
    let mut listener = PgListener::connect(url).await?;
    listener.listen("projectionist_events").await?;
    sqlx::query(ARM_BELL).execute(&mut connection).await?;
    let began = begin()?;
    let (mut events, mut position) = (0, 0_i64);
    tokio::pin!(stop);
    loop {
        let page = sqlx::query(READ_EVENTS)
            .bind(position)
            .bind(PAGE_EVENTS)
            .fetch_all(&mut connection)
            .await?;
        if let Some(last) = page.last() {
            position = last.try_get(0)?;
            let mut transaction = connection.begin().await?;
            for row in &page {
                upsert(&mut transaction, row).await?;
            }
            sqlx::query("UPDATE checkpoint SET position = $1")
                .bind(position)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            events += page.len() as u64;
            continue;
        }
        tokio::select! {
            heard = listener.recv() => drop(heard?),
            () = tokio::time::sleep(TICK) => {}
            () = &mut stop => break,
        }
    }
    let sample = Sample::since(&began, events)?;
    connection.close().await?;
    Ok(sample)
}
