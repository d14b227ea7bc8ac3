//! Those that take part. Each runs in a process of its own, started with the hidden verb below.

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
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::Bench;
use crate::machine::Usage;
use crate::sample::Sample;

/// The hidden verb: `contender NAME URL INPUT CACHE`. The last line of the output is the sample, as JSON.
pub const CONTENDER_VERB: &str = "contender";

/// How long the server takes at most to see that a session has gone.
const SESSION_END: Duration = Duration::from_millis(200);

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
    /// The import of this host.
    HostImport,
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
    server_began_cpu_seconds: f64,
}

impl Running {
    /// Its process, as /proc names it.
    pub fn process(&self) -> String {
        self.child
            .id()
            .map_or_else(|| "none".to_owned(), |id| id.to_string())
    }

    /// Closes its input, which ends one that runs until then, and takes what it says at its end.
    pub async fn finish(mut self, bench: &Bench) -> anyhow::Result<Sample> {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().await?;
        anyhow::ensure!(output.status.success(), "ended with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
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
    let child = Command::new(std::env::current_exe()?)
        .args([CONTENDER_VERB, &contender.to_string(), url])
        .arg(input)
        .arg(bench.cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a process of its own")?;
    Ok(Running {
        child,
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
    let [name, url, input, cache] = words else {
        anyhow::bail!(
            "{CONTENDER_VERB} takes NAME URL INPUT CACHE; it is for the benchmark itself"
        );
    };
    let (input, cache) = (Path::new(input), Path::new(cache));
    let contender = Contender::from_str(name, false).map_err(anyhow::Error::msg)?;
    let sample = match contender {
        Contender::RawRead => references::raw_read(url).await,
        Contender::SetBased => references::set_based(url).await,
        Contender::NativeFold => fold::run(url).await,
        Contender::NativePerEvent => per_event::run(url).await,
        Contender::NativeFollower => follower::run(url, input_ended()).await,
        Contender::NativeCopy => import::copy(url, input).await,
        Contender::HostImport => import::import(url, input).await,
        Contender::HostLive | Contender::HostLiveAlone => {
            host::live(url, input, cache, input_ended()).await
        }
        Contender::HostCatchUp
        | Contender::HostByStatement
        | Contender::HostByMany
        | Contender::HostCounts => host::catch_up(url, input, cache).await,
    }?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

/// Resolves when whoever started this process closes its input, or dies.
async fn input_ended() {
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

/// The beginning of the part that is measured.
fn begin() -> anyhow::Result<Usage> {
    Usage::now()
}
