//! `count`: a processor that looks at every event and writes one number a chunk.

use super::modules;
use super::turns::{self, Check, Turn};
use crate::Bench;
use crate::contender::Contender;
use crate::events::accounts_of;
use crate::report::Report;

/// More than elsewhere: both need half a second, in which they do not have the processors to themselves.
const ROUNDS: u32 = 5;

/// How many times the events of the other workloads: reading them takes so little that what comes before would count.
const TIMES: u64 = 3;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "count";
    let modules = modules::with(bench, "counts")?;
    let turn = |contender, check| Turn {
        contender,
        events: bench.events * TIMES,
        accounts: accounts_of(bench.events),
        modules: modules.path(),
        check,
    };
    let (raw, host) = (Contender::RawRead, Contender::HostCounts);
    let counted = Check::Count("SELECT events FROM counts.counter");
    let turns = [turn(raw, Check::None), turn(host, counted)];
    let rounds = turns::take(bench, WORKLOAD, bench.rounds(ROUNDS), &turns).await?;
    report.add(WORKLOAD, &rounds);
    report.ratio("count_vs_raw_read", rounds.ratio(host, raw));
    Ok(())
}
