//! `sql`: guests that write by statements, one an event, on a part of the log.

use std::path::Path;

use super::modules;
use super::turns::{self, Check, Turn};
use crate::Bench;
use crate::contender::Contender;
use crate::events::accounts_of;
use crate::report::Report;

const ROUNDS: u32 = 5;

/// One round trip an event is so slow that a part of the log has to do: so many times less. Accounts are fewer in the same way, since how
/// often each of them changes decides what the server has to do.
const SLICE: u64 = 5;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "sql";
    let by_statement = modules::with(bench, "accounts_by_statement")?;
    let by_many = modules::with(bench, "accounts_by_many")?;
    let slice = bench.events / SLICE;
    let turn = |contender, events, modules, schema| Turn {
        contender,
        events,
        accounts: accounts_of(events),
        modules,
        check: Check::Accounts(schema),
    };
    let (native, host) = (Contender::NativePerEvent, Contender::HostByStatement);
    let many = Contender::HostByMany;
    let schema = "accounts_by_statement_1";
    let turns = [
        turn(native, slice, Path::new(""), "native_per_event"),
        turn(host, slice, by_statement.path(), schema),
        turn(many, bench.events, by_many.path(), "accounts_by_many_1"),
    ];
    let rounds = turns::take(bench, WORKLOAD, bench.rounds(ROUNDS), &turns).await?;
    report.add(WORKLOAD, &rounds);
    report.ratio("sql_guest_vs_native_per_event", rounds.ratio(host, native));
    report.ratio("execute_many_vs_execute", rounds.ratio(many, host));
    Ok(())
}
