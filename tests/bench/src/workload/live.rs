//! `live`: one event at a time is appended to an idle log; how long until another connection sees its row. All contenders
//! run at the same time, each on its own log, and events go to them in turn: whatever the machine does meets all alike.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::modules;
use crate::Bench;
use crate::contender::{self, Contender, Running};
use crate::machine;
use crate::report::{Report, Rounds};
use crate::sample::{Sample, median, percentile};

const NATIVE: Contender = Contender::NativeFollower;
const HOST: Contender = Contender::HostLive;

const ROUNDS: u32 = 5;

/// Appends of one round to each log.
const APPENDS: u32 = 180;

/// Before these: the first event may have to wait for tables to be made, and nothing is prepared for those that follow it.
const WARM_UP: u32 = 5;

/// Subscriptions beside the one that is measured, for none of which an event comes.
const WAITING: u8 = 19;

/// Between two appends, which go to other logs: long enough for each log to be idle, and never the same, so that no clock is in step with it.
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_STEPS_MS: u32 = 25;

/// Between two looks at the row.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long an idle host is watched.
const IDLE: Duration = Duration::from_secs(3);

const OPENED: &str =
    r#"[{"type":"AccountOpened","data":{"account":"000001","owner":"Ada Lovelace"}}]"#;
const DEPOSITED: &str = r#"[{"type":"MoneyDeposited","data":{"account":"000001","amount":5,"currency":"EUR","channel":"mobile","counterparty":"DE89370400440532013000","reference":"REF-0000000001","note":"rent"}}]"#;
const APPEND: &str =
    "SELECT a.position FROM projectionist.append('account-000001', NULL, $1::text::json) AS a";

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "live";
    let alone = modules::with(bench, "accounts")?;
    let with_others = modules::with(bench, "accounts")?;
    modules::add_waiting(bench, &with_others, WAITING)?;
    let order = [
        (NATIVE, "native_follower", &alone, 0),
        (Contender::HostLiveAlone, "accounts_1", &alone, 1),
        (HOST, "accounts_1", &with_others, 1 + i64::from(WAITING)),
    ];
    let mut rounds = Rounds::default();
    let mut idle = Vec::new();
    for round in 0..bench.rounds(ROUNDS) {
        let mut followers = Vec::new();
        for (contender, schema, modules, subscriptions) in order {
            let follower = Follower::start(bench, contender, schema, modules.path()).await?;
            followers.push((follower, subscriptions));
        }
        for (follower, subscriptions) in &mut followers {
            follower.client.until_following(*subscriptions).await?;
        }
        let mut order_of_turns = fastrand::Rng::with_seed(round.into());
        for number in 0..APPENDS {
            // Who was just busy is somebody's neighbour: nobody always comes after the same one.
            order_of_turns.shuffle(&mut followers);
            for (turn, (follower, _)) in followers.iter_mut().enumerate() {
                pause(number * 3 + turn as u32);
                let latency = follower.client.append_and_watch(DEPOSITED).await?;
                follower.latencies_ms.push(latency.as_secs_f64() * 1_000.0);
            }
        }
        for (follower, _) in followers {
            if follower.contender == HOST {
                idle.push(Idle::watch(&follower.running.process())?);
            }
            let (contender, sample) = follower.finish(bench).await?;
            eprintln!("{WORKLOAD:<9} {contender:<24} {sample}");
            rounds.add(contender, sample);
        }
    }
    report.add(WORKLOAD, &rounds);
    for (name, contender) in [
        ("live_p50_vs_native", HOST),
        ("live_alone_p50_vs_native", Contender::HostLiveAlone),
    ] {
        let p50 = |sample: &Sample| percentile(&sample.latencies_ms, 50);
        report.ratio(name, rounds.ratio_by(contender, NATIVE, p50));
    }
    // Of all rounds together: in one of them there are too few that are that slow.
    let p99 = |contender| percentile(&rounds.latencies_ms(contender), 99);
    report.ratio("live_p99_vs_native", p99(HOST) / p99(NATIVE));
    let alone = Contender::HostLiveAlone;
    report.ratio("live_alone_p99_vs_native", p99(alone) / p99(NATIVE));
    report.figure(
        "idle_cpu_percent",
        median(idle.iter().map(|idle| idle.cpu_percent)),
    );
    report.figure("rss_idle_mib", median(idle.iter().map(|idle| idle.rss_mib)));
    Ok(())
}

/// A host with nothing to do.
struct Idle {
    cpu_percent: f64,
    rss_mib: f64,
}

impl Idle {
    fn watch(process: &str) -> anyhow::Result<Idle> {
        let began = machine::cpu_seconds(process)?;
        thread::sleep(IDLE);
        let used = machine::cpu_seconds(process)? - began;
        Ok(Idle {
            cpu_percent: used / IDLE.as_secs_f64() * 100.0,
            rss_mib: machine::memory_mib(process, "VmRSS:")?,
        })
    }
}

/// A contender that runs, with a log of its own and somebody who appends to it.
struct Follower {
    contender: Contender,
    database: String,
    running: Running,
    client: Client,
    latencies_ms: Vec<f64>,
}

impl Follower {
    async fn start(
        bench: &Bench,
        contender: Contender,
        schema: &str,
        modules: &Path,
    ) -> anyhow::Result<Follower> {
        let name = format!("live_{}", contender.to_string().replace('-', "_"));
        let database = bench.server.empty(&name).await?;
        let url = bench.server.url_of(&database);
        Ok(Follower {
            contender,
            database,
            running: contender::start(bench, contender, &url, modules)?,
            client: Client::connect(&url, schema).await?,
            latencies_ms: Vec::new(),
        })
    }

    async fn finish(self, bench: &Bench) -> anyhow::Result<(Contender, Sample)> {
        let mut sample = self.running.finish(bench).await?;
        sample.events = APPENDS.into();
        sample.latencies_ms = self.latencies_ms;
        // The server does not say for which of them it worked.
        sample.server_cpu_seconds = 0.0;
        self.client.close().await?;
        bench.server.drop(&self.database).await?;
        Ok((self.contender, sample))
    }
}

fn pause(number: u32) {
    let step = number * 37 % PAUSE_STEPS_MS;
    thread::sleep(PAUSE + Duration::from_millis(step.into()));
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

    /// Waits until so many subscriptions follow the log, and have done so for a few events.
    async fn until_following(&mut self, subscriptions: i64) -> anyhow::Result<()> {
        self.append(OPENED).await?;
        self.until_active(subscriptions).await?;
        for _ in 0..WARM_UP {
            self.append_and_watch(DEPOSITED).await?;
        }
        Ok(())
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

    async fn until_active(&mut self, count: i64) -> anyhow::Result<()> {
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
