//! `make bench`: each workload against this host and against what is possible at all, in the same run.
//!
//! Every contender is a process of its own, so that its processor time and memory are its own; they take turns, round by
//! round, in another order each time, and ratios are taken within a round: what else the machine does meanwhile meets all of
//! them alike. The median of the rounds counts.

mod contender;
mod events;
mod guests;
mod machine;
mod report;
mod sample;
mod server;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use projectionist::guest::COMPILE_VERB;

use contender::{CONTENDER_VERB, Contender};
use report::Report;
use server::Server;

/// Measure this host beside set-based SQL, a native fold, native statements and a raw read.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Run this workload alone.
    #[arg(long, env = "WORKLOAD")]
    workload: Option<Workload>,
    /// Events of the log.
    #[arg(long, env = "EVENTS", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    events: u64,
    /// Rounds of each workload; the medians count. Default: 3, and more where a round is short.
    #[arg(long, env = "RUNS", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Where results and compiled guests are kept. Default: `bench` in the target directory.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// What is measured, in this order: how soon something happens comes before what writes so much that the disk is busy after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// From an append to the row that shows it.
    Live,
    /// Many clients that append at once.
    Append,
    /// A guest that is replaced while events come.
    Reload,
    /// A host that is started with many guests.
    Start,
    /// Catch-up: events folded into a table of accounts.
    Accounts,
    /// One statement an event.
    Sql,
    /// A guest that writes almost nothing.
    Count,
    /// A file taken into the log.
    Import,
    /// Many subscriptions that want the same events.
    FanOut,
    /// Very many subscriptions, of which few have anything to do.
    Idle,
    /// The fold over a log ten times as long.
    Growth,
    /// Listeners that people use today.
    Peers,
}

/// What all workloads share.
struct Bench {
    events: u64,
    runs: Option<u32>,
    directory: PathBuf,
    guests: PathBuf,
    server: Server,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        // The host compiles guests in a process of its own binary, which is this one.
        Some(COMPILE_VERB) => projectionist::cli::main(),
        Some(CONTENDER_VERB) => done(contender::take_part(&words[1..])),
        _ => done(measure(Arguments::parse())),
    }
}

fn done(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

/// On one thread: what the server answers is seen as soon as it can be, and whoever is measured is disturbed as little as can be.
#[tokio::main(flavor = "current_thread")]
async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!(
            "this build is not optimised; its figures mean nothing: cargo run --release -p bench"
        );
    }
    let directory = arguments
        .directory
        .clone()
        .unwrap_or_else(|| guests::target_dir().join("bench"));
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("making the directory {}", directory.display()))?;
    let wanted = |workload| arguments.workload.is_none_or(|only| only == workload);
    // What has to be built is built before anything is measured. Where that fails, the workload says so, and the others have their say.
    if wanted(Workload::Peers) {
        let _ = workload::peers::build();
    }
    let bench = Bench {
        events: arguments.events,
        runs: arguments.runs,
        guests: guests::build()?,
        server: Server::start().await?,
        directory,
    };
    let mut report = Report::new(&bench).await?;
    let mut failed = Vec::new();
    for workload in Workload::value_variants() {
        if wanted(*workload) {
            // What was built or measured before it is not to be written meanwhile.
            rustix::fs::sync();
            let began = Instant::now();
            // One that fails leaves the others their say.
            if let Err(failure) = workload.run(&bench, &mut report).await {
                eprintln!("error: {failure:#}");
                failed.push(format!("{workload:?}"));
            }
            eprintln!("{workload:?} took {} s", began.elapsed().as_secs());
        }
    }
    println!("{report}");
    let path = report.write(&bench.directory)?;
    println!("written to {}", path.display());
    bench.server.stop().await?;
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

impl Workload {
    async fn run(self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Workload::Live => workload::live::run(bench, report).await,
            Workload::Append => workload::append::run(bench, report).await,
            Workload::Reload => workload::reload::reload(bench, report).await,
            Workload::Start => workload::reload::start(bench, report).await,
            Workload::Accounts => workload::accounts::run(bench, report).await,
            Workload::Sql => workload::sql::run(bench, report).await,
            Workload::Count => workload::count::run(bench, report).await,
            Workload::Import => workload::import::run(bench, report).await,
            Workload::FanOut => workload::fan_out::run(bench, report).await,
            Workload::Idle => workload::idle::run(bench, report).await,
            Workload::Growth => workload::growth::run(bench, report).await,
            Workload::Peers => workload::peers::run(bench, report).await,
        }
    }
}

impl Bench {
    /// How many rounds a workload takes that usually takes so many.
    fn rounds(&self, usual: u32) -> u32 {
        self.runs.unwrap_or(usual)
    }

    /// Where the host keeps compiled guests between runs.
    fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    fn guest(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.wasm"))
    }

    /// Lets a contender run on a database, to its end.
    async fn sample(
        &self,
        workload: &str,
        contender: Contender,
        database: &str,
        input: &Path,
    ) -> anyhow::Result<sample::Sample> {
        let sample = contender::run(self, contender, &self.server.url_of(database), input)
            .await
            .with_context(|| format!("workload {workload}, {contender}"))?;
        eprintln!("{workload:<9} {contender:<24} {sample}");
        Ok(sample)
    }
}
