//! `peers`: listeners that people use today, on a part of the log, beside this host on all of it.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use super::{check, modules};
use crate::Bench;
use crate::contender::{self, Contender};
use crate::guests;
use crate::report::{Report, Rounds};
use crate::sample::Sample;

const WORKLOAD: &str = "peers";

const ROUNDS: u32 = 3;

/// Events for those that are slow, and for those that wait for the disk at each of them.
const SLICE_EVENTS: u64 = 10_000;
const DURABLE_SLICE_EVENTS: u64 = 3_000;

/// A program that somebody wrote with another library.
struct Peer {
    contender: Contender,
    program: PathBuf,
    script: Option<PathBuf>,
    synchronous_commit: &'static str,
    events: u64,
    /// Where it has its table.
    schema: &'static str,
}

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    build()?;
    let mut peers = Vec::from(disintegrate());
    peers.extend(installed(bench));
    let modules = modules::with(bench, "accounts")?;
    let host = Contender::HostCatchUp;
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds(ROUNDS) {
        for peer in &peers {
            let sample = peer.run(bench).await;
            let sample =
                sample.with_context(|| format!("workload {WORKLOAD}, {}", peer.contender))?;
            eprintln!("{WORKLOAD:<9} {:<24} {sample}", peer.contender);
            rounds.add(peer.contender, sample);
        }
        let database = bench.server.with_log(bench.events, WORKLOAD).await?;
        let sample = bench.sample(WORKLOAD, host, &database, modules.path());
        rounds.add(host, sample.await?);
        bench.server.drop(&database).await?;
    }
    report.add(WORKLOAD, &rounds);
    for (name, contender) in [
        (
            "catchup_vs_disintegrate_async",
            Contender::DisintegrateAsync,
        ),
        ("catchup_vs_emmett_async", Contender::EmmettAsync),
        (
            "catchup_vs_eventsourcing_async",
            Contender::EventsourcingAsync,
        ),
    ] {
        if peers.iter().any(|peer| peer.contender == contender) {
            report.ratio(name, rounds.ratio(host, contender));
        }
    }
    Ok(())
}

impl Peer {
    /// Folds its part of the log, which is then compared.
    async fn run(&self, bench: &Bench) -> anyhow::Result<Sample> {
        let events = self.events.min(bench.events);
        let database = bench.server.with_log(events, WORKLOAD).await?;
        let url = bench.server.url_of(&database);
        let mut command = Command::new(&self.program);
        match &self.script {
            None => command.arg(&url),
            Some(script) => command.arg(script).envs(server_variables(&url)?),
        };
        command.arg(self.synchronous_commit);
        let sample = contender::spawn(bench, command)?.finish(bench).await?;
        check::accounts(bench, &database, self.schema).await?;
        bench.server.drop(&database).await?;
        Ok(sample)
    }
}

/// Where the server is, as libpq's variables say it: each library has its own idea of a URL.
fn server_variables(url: &str) -> anyhow::Result<[(&'static str, String); 4]> {
    let options = PgConnectOptions::from_str(url)?;
    let socket = options.get_socket().map(|path| path.display().to_string());
    Ok([
        (
            "PGHOST",
            socket.unwrap_or_else(|| options.get_host().to_owned()),
        ),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", options.get_username().to_owned()),
        (
            "PGDATABASE",
            options.get_database().unwrap_or_default().to_owned(),
        ),
    ])
}

/// Those that `make bench/peers` has installed. The others are left out, and that is said.
fn installed(bench: &Bench) -> Vec<Peer> {
    let place = bench.directory.join("peers");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let peers = [
        Peer {
            contender: Contender::EmmettAsync,
            program: PathBuf::from("node"),
            script: Some(place.join("emmett/accounts.js")),
            synchronous_commit: "off",
            events: SLICE_EVENTS,
            schema: "emmett",
        },
        Peer {
            contender: Contender::EventsourcingAsync,
            program: place.join("eventsourcing/bin/python"),
            script: Some(sources.join("eventsourcing/accounts.py")),
            synchronous_commit: "off",
            events: SLICE_EVENTS,
            schema: "eventsourcing",
        },
    ];
    let is_there = |peer: &Peer| {
        let script = peer.script.as_ref().is_some_and(|script| script.exists());
        let is_there =
            script && (peer.program.exists() || peer.program.parent() == Some(Path::new("")));
        if !is_there {
            let contender = peer.contender;
            eprintln!(
                "{WORKLOAD:<9} {contender:<24} is not installed and left out: make bench/peers installs it"
            );
        }
        is_there
    };
    peers.into_iter().filter(is_there).collect()
}

/// Builds those that are written in Rust: a workspace of its own, so that its dependencies change nothing of ours.
pub fn build() -> anyhow::Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/disintegrate/Cargo.toml");
    let status = guests::cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir())
        .status()
        .context("starting cargo for disintegrate")?;
    anyhow::ensure!(
        status.success(),
        "the listener of disintegrate does not build"
    );
    Ok(())
}

fn target_dir() -> PathBuf {
    guests::target_dir().join("bench-peers")
}

fn disintegrate() -> [Peer; 2] {
    let peer = |contender, synchronous_commit, events| Peer {
        contender,
        program: target_dir().join("release/peer-disintegrate"),
        script: None,
        synchronous_commit,
        events,
        schema: "disintegrate",
    };
    [
        peer(Contender::Disintegrate, "on", DURABLE_SLICE_EVENTS),
        peer(Contender::DisintegrateAsync, "off", SLICE_EVENTS),
    ]
}
