//! `count`: a processor that looks at every event and writes one number a chunk.

use super::{check, modules};
use crate::Bench;
use crate::contender::Contender;
use crate::report::{Report, Rounds};

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "count";
    let modules = modules::with(bench, "counts")?;
    let mut rounds = Rounds::default();
    for _ in 0..bench.runs {
        let database = bench.server.with_log(bench.events, WORKLOAD).await?;
        for contender in [Contender::RawRead, Contender::HostCounts] {
            let sample = bench
                .sample(WORKLOAD, contender, &database, modules.path())
                .await?;
            rounds.add(contender, sample);
        }
        let counted = "SELECT events FROM counts.counter";
        check::count(bench, &database, counted, bench.events).await?;
        bench.server.drop(&database).await?;
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "count_vs_raw_read",
        rounds.ratio(Contender::HostCounts, Contender::RawRead),
    );
    Ok(())
}
