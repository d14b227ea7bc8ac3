//! `peer-disintegrate URL off|on`: a listener of disintegrate-postgres folds the log of the benchmark into a table, one
//! statement an event as its examples have it. The word says whether commits wait for the disk. The last line of the output
//! is the sample, as JSON.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{Event, EventListener, PersistedEvent, StreamQuery, query};
use disintegrate_postgres::{PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Notify;

const UPSERT: &str = include_str!("../../../../guests/sql/upsert_account.sql");

const MAKE_TABLE: &str = "CREATE SCHEMA disintegrate;
    CREATE TABLE disintegrate.account (id text PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL,
        open boolean NOT NULL, last_position bigint NOT NULL)";

/// The log as this library stores it; the names of types and domain ids are those of the enum below.
const FILL: &str = "INSERT INTO event (event_id, event_type, payload, account)
    SELECT e.position, e.type, convert_to(json_build_object(e.type, e.data)::text, 'UTF8'), e.data ->> 'account'
    FROM projectionist.events e ORDER BY e.position";

#[derive(Clone, Debug, Event, Serialize, Deserialize)]
enum AccountEvent {
    AccountOpened {
        #[id]
        account: String,
        owner: String,
    },
    MoneyDeposited {
        #[id]
        account: String,
        amount: i64,
    },
    MoneyWithdrawn {
        #[id]
        account: String,
        amount: i64,
    },
    AccountClosed {
        #[id]
        account: String,
    },
}

struct Accounts {
    query: StreamQuery<PgEventId, AccountEvent>,
    pool: PgPool,
    last: PgEventId,
    done: std::sync::Arc<Notify>,
}

#[async_trait]
impl EventListener<PgEventId, AccountEvent> for Accounts {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        "accounts"
    }

    fn query(&self) -> &StreamQuery<PgEventId, AccountEvent> {
        &self.query
    }

    async fn handle(
        &self,
        event: PersistedEvent<PgEventId, AccountEvent>,
    ) -> Result<(), Self::Error> {
        let position = event.id();
        let (account, owner, balance, open) = match event.into_inner() {
            AccountEvent::AccountOpened { account, owner } => (account, owner, 0, true),
            AccountEvent::MoneyDeposited { account, amount } => {
                (account, String::new(), amount, true)
            }
            AccountEvent::MoneyWithdrawn { account, amount } => {
                (account, String::new(), -amount, true)
            }
            AccountEvent::AccountClosed { account } => (account, String::new(), 0, false),
        };
        sqlx::query(UPSERT)
            .bind(account)
            .bind(owner)
            .bind(balance)
            .bind(open)
            .bind(position)
            .execute(&self.pool)
            .await?;
        if position == self.last {
            self.done.notify_one();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, synchronous_commit] = &words[..] else {
        anyhow::bail!("takes URL off|on");
    };
    // A literal in one of its functions, which is for appending alone, is older servers' syntax error.
    let options = PgConnectOptions::from_str(url)?.options([
        ("synchronous_commit", synchronous_commit.as_str()),
        ("check_function_bodies", "off"),
        ("search_path", "disintegrate,public"),
    ]);
    let pool = PgPoolOptions::new().connect_with(options).await?;
    sqlx::raw_sql(MAKE_TABLE).execute(&pool).await?;
    let store = PgEventStore::try_new(pool.clone(), Json::<AccountEvent>::default()).await?;
    let events = sqlx::query(FILL).execute(&pool).await?.rows_affected();
    sqlx::raw_sql("ANALYZE event").execute(&pool).await?;
    let last: i64 = sqlx::query_scalar("SELECT max(event_id) FROM event")
        .fetch_one(&pool)
        .await?;

    let done = std::sync::Arc::new(Notify::new());
    let accounts = Accounts {
        query: query!(AccountEvent),
        pool: pool.clone(),
        last,
        done: done.clone(),
    };
    let config = PgEventListenerConfig::poller(Duration::from_millis(50));
    let (began, cpu_began) = (Instant::now(), cpu_seconds()?);
    let listener = PgEventListener::builder(store).register_listener(accounts, config);
    let running = tokio::spawn(async move { listener.start().await.map_err(|e| e.to_string()) });
    tokio::select! {
        () = done.notified() => {}
        ended = running => anyhow::bail!("the listener ended: {ended:?}"),
    }
    let sample = serde_json::json!({
        "events": events,
        "seconds": began.elapsed().as_secs_f64(),
        "cpu_seconds": cpu_seconds()? - cpu_began,
        "peak_rss_mib": peak_rss_mib()?,
    });
    println!("{sample}");
    Ok(())
}

fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0)
}

fn peak_rss_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0)
}
