//! `growth`: the same fold over a log ten times as long, with as many accounts; and what memory it takes.

use super::{check, modules};
use crate::Bench;
use crate::contender::Contender;
use crate::report::{Report, Rounds};

/// How many times the events of the other workloads.
const TIMES: u64 = 10;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "growth";
    let modules = modules::with(bench, "accounts")?;
    let mut rounds = Rounds::default();
    let accounts = crate::events::accounts_of(bench.events);
    for run in 0..bench.runs {
        for (events, contender) in [
            (bench.events, Contender::HostShortLog),
            (bench.events * TIMES, Contender::HostLongLog),
        ] {
            let database = bench
                .server
                .with_log_over(events, accounts, WORKLOAD)
                .await?;
            let sample = bench
                .sample(WORKLOAD, contender, &database, modules.path())
                .await?;
            rounds.add(contender, sample);
            // Comparing the long one takes as long as building it.
            if run == 0 {
                check::accounts(bench, &database, "accounts_1").await?;
            }
            bench.server.drop(&database).await?;
        }
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "growth_2m_vs_200k",
        rounds.ratio(Contender::HostLongLog, Contender::HostShortLog),
    );
    report.figure(
        "rss_catchup_mib",
        rounds.peak_rss_mib(Contender::HostLongLog),
    );
    Ok(())
}
