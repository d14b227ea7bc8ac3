//! `live`: one event at a time is appended to an idle log; how long until another connection sees its row.

use std::thread;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::modules;
use crate::Bench;
use crate::contender::{self, Contender};
use crate::machine;
use crate::report::{Report, Rounds};
use crate::sample::percentile;

/// Appends of one round.
const APPENDS: u32 = 100;

/// Subscriptions beside the one that is measured, for none of which an event comes.
const WAITING: u8 = 19;

/// Between two appends: long enough for the log to be idle, and never the same, so that no clock is in step with it.
const PAUSE: Duration = Duration::from_millis(90);
const PAUSE_STEPS_MS: u32 = 60;

/// Between two looks at the row.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long an idle host is watched.
const IDLE: Duration = Duration::from_secs(3);

const OPENED: &str =
    r#"[{"type":"AccountOpened","data":{"account":"000001","owner":"Ada Lovelace"}}]"#;
const DEPOSITED: &str = r#"[{"type":"MoneyDeposited","data":{"account":"000001","amount":5,"currency":"EUR","channel":"mobile","counterparty":"DE89370400440532013000","reference":"REF-0000000001","note":"rent"}}]"#;
const APPEND: &str =
    "SELECT a.position FROM projectionist.append('account-000001', NULL, $1::text::json) AS a";

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "live";
    let modules = modules::with(bench, "accounts")?;
    modules::add_waiting(bench, &modules, WAITING)?;
    let (native, host) = (Contender::NativeFollower, Contender::HostLive);
    let mut rounds = Rounds::default();
    let (mut idle_cpu, mut idle_rss) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        for (contender, schema) in [(native, "native_follower"), (host, "accounts_1")] {
            let database = bench.server.empty(WORKLOAD).await?;
            let url = bench.server.url_of(&database);
            let running = contender::start(bench, contender, &url, modules.path())?;
            let mut client = Client::connect(&url, schema).await?;
            client.append(OPENED).await?;
            if contender == host {
                client.until_all_are_active(i64::from(WAITING) + 1).await?;
            }
            // The first one waits for tables to be made, and is not counted.
            client.append_and_watch(DEPOSITED).await?;
            let mut latencies_ms = Vec::new();
            for number in 0..APPENDS {
                let step = number * 37 % PAUSE_STEPS_MS;
                thread::sleep(PAUSE + Duration::from_millis(step.into()));
                let latency = client.append_and_watch(DEPOSITED).await?;
                latencies_ms.push(latency.as_secs_f64() * 1_000.0);
            }
            if contender == host {
                let process = running.process();
                let began = machine::cpu_seconds(&process)?;
                thread::sleep(IDLE);
                let used = machine::cpu_seconds(&process)? - began;
                idle_cpu.push(used / IDLE.as_secs_f64() * 100.0);
                idle_rss.push(machine::memory_mib(&process, "VmRSS:")?);
            }
            let mut sample = running.finish(bench).await?;
            sample.events = APPENDS.into();
            sample.latencies_ms = latencies_ms;
            eprintln!("{WORKLOAD:<9} {contender:<24} {sample}");
            rounds.add(contender, sample);
            client.close().await?;
            bench.server.drop(&database).await?;
        }
    }
    report.add(WORKLOAD, &rounds);
    for (name, percent) in [("live_p50_vs_native", 50), ("live_p99_vs_native", 99)] {
        let of = |contender| percentile(&rounds.latencies_ms(contender), percent);
        report.ratio(name, of(host) / of(native));
    }
    report.figure("idle_cpu_percent", crate::sample::median(idle_cpu));
    report.figure("rss_idle_mib", crate::sample::median(idle_rss));
    Ok(())
}

/// Somebody who appends on one connection and looks on another.
struct Client {
    appends: PgConnection,
    looks: PgConnection,
    look: String,
}

impl Client {
    async fn connect(url: &str, schema: &str) -> anyhow::Result<Client> {
        Ok(Client {
            appends: PgConnection::connect(url).await?,
            looks: PgConnection::connect(url).await?,
            look: format!("SELECT last_position FROM {schema}.account WHERE id = '000001'"),
        })
    }

    async fn append(&mut self, events: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(APPEND)
            .bind(events)
            .fetch_one(&mut self.appends)
            .await?)
    }

    /// From the client's send to the row that another connection sees.
    async fn append_and_watch(&mut self, events: &'static str) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        let position = self.append(events).await?;
        loop {
            let seen: Result<Option<i64>, _> = sqlx::query_scalar(AssertSqlSafe(self.look.clone()))
                .fetch_optional(&mut self.looks)
                .await;
            // In the beginning there is no table.
            if seen.ok().flatten() >= Some(position) {
                return Ok(sent.elapsed());
            }
            anyhow::ensure!(sent.elapsed() < PATIENCE, "the event was never seen");
            // Not the runtime's sleep, which knows no less than a millisecond.
            thread::sleep(LOOK_EVERY);
        }
    }

    async fn until_all_are_active(&mut self, count: i64) -> anyhow::Result<()> {
        let active = "SELECT count(*) FROM projectionist.subscriptions WHERE status = 'Active'";
        let began = Instant::now();
        loop {
            let found: i64 = sqlx::query_scalar(active)
                .fetch_one(&mut self.looks)
                .await?;
            if found == count {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed() < PATIENCE,
                "only {found} of {count} subscriptions became active"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        self.appends.close().await?;
        Ok(self.looks.close().await?)
    }
}
