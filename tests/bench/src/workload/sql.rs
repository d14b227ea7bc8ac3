//! `sql`: guests that write by statements, one an event, on a part of the log.

use super::accounts::SLICE;
use super::{check, modules};
use crate::Bench;
use crate::contender::Contender;
use crate::report::{Report, Rounds};

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "sql";
    let by_statement = modules::with(bench, "accounts_by_statement")?;
    let by_many = modules::with(bench, "accounts_by_many")?;
    let order = [
        (Contender::NativePerEvent, "native_per_event", &by_statement),
        (
            Contender::HostByStatement,
            "accounts_by_statement_1",
            &by_statement,
        ),
        (Contender::HostByMany, "accounts_by_many_1", &by_many),
    ];
    let mut rounds = Rounds::default();
    for _ in 0..bench.runs {
        for (contender, schema, modules) in order {
            let database = bench
                .server
                .with_log(bench.events / SLICE, WORKLOAD)
                .await?;
            let sample = bench
                .sample(WORKLOAD, contender, &database, modules.path())
                .await?;
            rounds.add(contender, sample);
            check::accounts(bench, &database, schema).await?;
            bench.server.drop(&database).await?;
        }
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "sql_guest_vs_native_per_event",
        rounds.ratio(Contender::HostByStatement, Contender::NativePerEvent),
    );
    report.ratio(
        "execute_many_vs_execute",
        rounds.ratio(Contender::HostByMany, Contender::HostByStatement),
    );
    Ok(())
}
