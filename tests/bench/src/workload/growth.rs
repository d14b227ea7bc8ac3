//! `growth`: the same fold over a log ten times as long, with as many accounts; and what memory it takes.

use super::modules;
use super::turns::{self, Check, Turn};
use crate::Bench;
use crate::contender::Contender;
use crate::events::accounts_of;
use crate::report::Report;

const ROUNDS: u32 = 3;

/// How many times the events of the other workloads.
const TIMES: u64 = 10;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "growth";
    let modules = modules::with(bench, "accounts")?;
    let turn = |contender, events, check| Turn {
        contender,
        events,
        accounts: accounts_of(bench.events),
        modules: modules.path(),
        check,
    };
    let (short, long) = (Contender::HostShortLog, Contender::HostLongLog);
    let folded = Check::Accounts("accounts_1");
    // To fold all of it once more in SQL takes longer than what is measured.
    let reached = Check::Count("SELECT max(last_position) FROM accounts_1.account");
    let turns = [
        turn(short, bench.events, folded),
        turn(long, bench.events * TIMES, reached),
    ];
    let rounds = turns::take(bench, WORKLOAD, bench.rounds(ROUNDS), &turns).await?;
    report.add(WORKLOAD, &rounds);
    report.ratio("growth_2m_vs_200k", rounds.ratio(long, short));
    // Flat, if it is about as much as `rss_catchup_200k_mib`.
    report.figure("rss_catchup_mib", rounds.peak_rss_mib(long));
    report.figure("rss_catchup_events", (bench.events * TIMES) as f64);
    Ok(())
}
