//! Those that take part. Each runs in a process of its own, started with the hidden verb below.

mod append;
mod fan_out;
mod fold;
mod follower;
mod host;
mod import;
mod per_event;
mod references;

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::Bench;
use crate::machine::Usage;
use crate::sample::Sample;

/// The hidden verb: `contender NAME URL INPUT CACHE`. The last line of the output is the sample, as JSON.
pub const CONTENDER_VERB: &str = "contender";

/// How long the server takes at most to see that a session has gone.
const SESSION_END: Duration = Duration::from_millis(200);

/// What a contender says when it is ready, if somebody has to know.
const READY: &str = "ready";

pub use fan_out::{FAN_OUT_EVENTS, FAN_OUT_SUBSCRIPTIONS};

/// Names as results have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Contender {
    /// One SELECT over the whole log, on one connection.
    RawRead,
    /// One INSERT .. SELECT over the whole log.
    SetBased,
    /// Read-ahead, fold in memory, one upsert with checkpoint a batch, all at the same time.
    NativeFold,
    /// One round trip an event.
    NativePerEvent,
    /// One upsert an event, when NOTIFY says so.
    NativeFollower,
    /// COPY of a file that was made for it.
    NativeCopy,
    /// This host with the modules of a directory, until all is caught up.
    HostCatchUp,
    /// The same, with a guest that runs one statement an event.
    HostByStatement,
    /// The same, with a guest that hands over the statements of a chunk together.
    HostByMany,
    /// The same, with a processor that counts.
    HostCounts,
    /// This host with one subscription, until its input ends.
    HostLiveAlone,
    /// The same, with others beside it for which no event comes.
    HostLive,
    /// A listener of disintegrate-postgres, with commits that wait for the disk.
    Disintegrate,
    /// The same, with commits that do not.
    DisintegrateAsync,
    /// The import of this host.
    HostImport,
    /// Catch-up over a log, and over one ten times as long.
    HostShortLog,
    HostLongLog,
    /// Clients that append, while a trigger does nothing, and while it looks whether a host sleeps.
    AppendersAlone,
    AppendersWithBell,
    /// Sets up what the next two need.
    FanOutPrepared,
    /// What guests and their commits cost without an engine.
    FanOutOwnWork,
    /// This host with many subscriptions.
    HostFanOut,
    /// The same with ten of them, alone and among a thousand.
    HostTen,
    HostTenOfAThousand,
    /// Projections of emmett-postgresql and of eventsourcing, if they are installed.
    EmmettAsync,
    EventsourcingAsync,
}

impl fmt::Display for Contender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// A contender that runs.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    server_began_cpu_seconds: f64,
}

impl Running {
    /// Its process, as /proc names it.
    pub fn process(&self) -> String {
        self.child
            .id()
            .map_or_else(|| "none".to_owned(), |id| id.to_string())
    }

    /// Waits until it says that what is measured has begun.
    pub async fn began(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        anyhow::ensure!(line.trim() == READY, "it said {line:?} and not {READY}");
        Ok(())
    }

    /// Closes its input, which ends one that runs until then, and takes what it says at its end.
    pub async fn finish(mut self, bench: &Bench) -> anyhow::Result<Sample> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).await?;
        let status = self.child.wait().await?;
        anyhow::ensure!(status.success(), "ended with {status}");
        let line = text.lines().last().unwrap_or_default();
        let mut sample: Sample =
            serde_json::from_str(line).with_context(|| format!("reading {line:?}"))?;
        tokio::time::sleep(SESSION_END).await;
        sample.server_cpu_seconds = bench.server.cpu_seconds()? - self.server_began_cpu_seconds;
        Ok(sample)
    }
}

/// Starts a contender on a database. `input` is a directory of modules or a file.
pub fn start(
    bench: &Bench,
    contender: Contender,
    url: &str,
    input: &Path,
) -> anyhow::Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([CONTENDER_VERB, &contender.to_string(), url])
        .arg(input)
        .arg(bench.cache());
    spawn(bench, command)
}

/// Starts a program that ends with a sample.
pub fn spawn(bench: &Bench, mut command: Command) -> anyhow::Result<Running> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a process of its own")?;
    let output = child.stdout.take().context("its output is a pipe")?;
    Ok(Running {
        child,
        output: BufReader::new(output),
        server_began_cpu_seconds: bench.server.cpu_seconds()?,
    })
}

/// Lets a contender run to its end.
pub async fn run(
    bench: &Bench,
    contender: Contender,
    url: &str,
    input: &Path,
) -> anyhow::Result<Sample> {
    start(bench, contender, url, input)?.finish(bench).await
}

/// The child's side.
#[tokio::main]
pub async fn take_part(words: &[String]) -> anyhow::Result<()> {
    let [name, url, input, cache] = words.to_vec().try_into().map_err(|_| {
        anyhow::anyhow!(
            "{CONTENDER_VERB} takes NAME URL INPUT CACHE; it is for the benchmark itself"
        )
    })?;
    let contender = Contender::from_str(&name, false).map_err(anyhow::Error::msg)?;
    // On a thread of the runtime: to the main thread every answer of the server comes by way of another one.
    let measured = tokio::spawn(async move {
        measured(contender, &url, Path::new(&input), Path::new(&cache)).await
    });
    println!("{}", serde_json::to_string(&measured.await??)?);
    Ok(())
}

async fn measured(
    contender: Contender,
    url: &str,
    input: &Path,
    cache: &Path,
) -> anyhow::Result<Sample> {
    match contender {
        Contender::RawRead => references::raw_read(url).await,
        Contender::SetBased => references::set_based(url).await,
        Contender::NativeFold => fold::run(url).await,
        Contender::NativePerEvent => per_event::run(url).await,
        Contender::NativeFollower => follower::run(url, input_ended()).await,
        Contender::NativeCopy => import::copy(url, input).await,
        Contender::HostImport => import::import(url, input).await,
        Contender::AppendersAlone | Contender::AppendersWithBell => {
            append::run(url, input_ended()).await
        }
        Contender::FanOutPrepared => host::once(url, input, cache).await,
        Contender::FanOutOwnWork => fan_out::own_work(url, input, cache).await,
        Contender::HostFanOut | Contender::HostTen | Contender::HostTenOfAThousand => {
            host::fan_out(url, input, cache, input_ended()).await
        }
        Contender::HostLive | Contender::HostLiveAlone => {
            host::live(url, input, cache, input_ended()).await
        }
        Contender::Disintegrate
        | Contender::DisintegrateAsync
        | Contender::EmmettAsync
        | Contender::EventsourcingAsync => {
            anyhow::bail!("this one is a program of its own")
        }
        Contender::HostCatchUp
        | Contender::HostShortLog
        | Contender::HostLongLog
        | Contender::HostByStatement
        | Contender::HostByMany
        | Contender::HostCounts => host::catch_up(url, input, cache).await,
    }
}

/// Resolves when whoever started this process closes its input, or dies.
async fn input_ended() {
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

fn say_ready() {
    println!("{READY}");
}

/// The beginning of the part that is measured.
fn begin() -> anyhow::Result<Usage> {
    Usage::now()
}
