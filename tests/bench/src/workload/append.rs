//! `append`: many clients append single events to one table while a host follows. The trigger that rings takes turns with one
//! that does nothing, twice a second: what the disk does meanwhile meets both alike.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::modules;
use super::wait::Watcher;
use crate::Bench;
use crate::contender::{self, Contender, Running};
use crate::machine::Usage;
use crate::report::{Report, Rounds};
use crate::sample::Sample;

const ALONE: Contender = Contender::AppendersAlone;
const WITH_BELL: Contender = Contender::AppendersWithBell;

const ROUNDS: u32 = 4;

/// Who comes later has the longer log, so neither is always the second of two.
const ORDER: [Contender; 4] = [ALONE, WITH_BELL, WITH_BELL, ALONE];

/// How many times that order is gone through in one round.
const TIMES: usize = 5;

const TURN: Duration = Duration::from_millis(500);

/// Before it: every session compiles the trigger that is new to it.
const SETTLING: Duration = Duration::from_millis(100);

const EMPTY_TRIGGER: &str = "CREATE OR REPLACE FUNCTION projectionist.ring_the_bell() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'";

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "append";
    let modules = modules::with(bench, "accounts")?;
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds(ROUNDS) {
        let database = bench.server.empty(WORKLOAD).await?;
        let url = bench.server.url_of(&database);
        let mut watcher = Watcher::connect(&url).await?;
        let host = contender::start(bench, Contender::HostLive, &url, modules.path())?;
        watcher.until_active(1).await?;
        let mut appenders = contender::start(bench, WITH_BELL, &url, modules.path())?;
        appenders.began().await?;

        let bell = watcher.definition("projectionist.ring_the_bell").await?;
        let mut sums: BTreeMap<Contender, Sample> = BTreeMap::new();
        for contender in [ORDER; TIMES].into_iter().flatten() {
            let trigger = match contender {
                ALONE => EMPTY_TRIGGER,
                _ => &bell,
            };
            watcher.execute(trigger).await?;
            thread::sleep(SETTLING);
            let sample = turn(bench, &mut watcher, &appenders).await?;
            sums.entry(contender)
                .and_modify(|sum| sum.add(&sample))
                .or_insert(sample);
        }
        for (contender, sample) in sums {
            eprintln!("{WORKLOAD:<9} {contender:<24} {sample}");
            rounds.add(contender, sample);
        }
        appenders.finish(bench).await?;
        let host = host.finish(bench).await?;
        eprintln!("{WORKLOAD:<9} {:<24} {host}", "host beside both");
        watcher.close().await?;
        bench.server.drop(&database).await?;
    }
    report.add(WORKLOAD, &rounds);
    report.ratio("append_32_vs_empty_trigger", rounds.ratio(WITH_BELL, ALONE));
    Ok(())
}

/// What is appended in a while. The server's time is that of all its sessions, the host's among them.
async fn turn(bench: &Bench, watcher: &mut Watcher, appenders: &Running) -> anyhow::Result<Sample> {
    let process = appenders.process();
    let (began, before) = (Usage::of(&process)?, watcher.numbers_taken().await?);
    let server_before = bench.server.busy_seconds()?;
    thread::sleep(TURN);
    let appended = watcher.numbers_taken().await? - before;
    let mut sample = Sample::between(&began, &Usage::of(&process)?, appended);
    sample.server_cpu_seconds = bench.server.busy_seconds()? - server_before;
    Ok(sample)
}
