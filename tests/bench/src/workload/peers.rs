//! `peers`: listeners that people use today, on a part of the log, beside this host on all of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::{check, modules};
use crate::Bench;
use crate::contender::{self, Contender};
use crate::guests;
use crate::report::{Report, Rounds};

/// Events for those that are slow, and for those that wait for the disk at each of them.
const SLICE_EVENTS: u64 = 10_000;
const DURABLE_SLICE_EVENTS: u64 = 3_000;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "peers";
    let disintegrate = build()?;
    let modules = modules::with(bench, "accounts")?;
    let host = Contender::HostCatchUp;
    let mut rounds = Rounds::default();
    for _ in 0..bench.runs {
        for (contender, synchronous_commit, slice) in [
            (Contender::Disintegrate, "on", DURABLE_SLICE_EVENTS),
            (Contender::DisintegrateAsync, "off", SLICE_EVENTS),
        ] {
            let events = slice.min(bench.events);
            let database = bench.server.with_log(events, WORKLOAD).await?;
            let mut command = Command::new(&disintegrate);
            command.args([&bench.server.url_of(&database), synchronous_commit]);
            let running = contender::spawn(bench, command)?;
            let sample = running
                .finish(bench)
                .await
                .with_context(|| format!("workload {WORKLOAD}, {contender}"))?;
            eprintln!("{WORKLOAD:<9} {contender:<24} {sample}");
            rounds.add(contender, sample);
            check::accounts(bench, &database, "disintegrate").await?;
            bench.server.drop(&database).await?;
        }
        let database = bench.server.with_log(bench.events, WORKLOAD).await?;
        let sample = bench.sample(WORKLOAD, host, &database, modules.path());
        rounds.add(host, sample.await?);
        bench.server.drop(&database).await?;
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "catchup_vs_disintegrate_async",
        rounds.ratio(host, Contender::DisintegrateAsync),
    );
    Ok(())
}

/// A workspace of its own, so that its dependencies change nothing of ours.
fn build() -> anyhow::Result<PathBuf> {
    let target_dir = guests::target_dir().join("bench-peers");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/disintegrate/Cargo.toml");
    let status = guests::cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target_dir)
        .status()
        .context("starting cargo for disintegrate")?;
    anyhow::ensure!(
        status.success(),
        "the listener of disintegrate does not build"
    );
    Ok(target_dir.join("release/peer-disintegrate"))
}
