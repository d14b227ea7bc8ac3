//! `accounts`: the whole log folded into one row an account.

use super::modules;
use super::turns::{self, Check, Turn};
use crate::Bench;
use crate::contender::Contender;
use crate::events::accounts_of;
use crate::report::Report;

const ROUNDS: u32 = 3;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "accounts";
    let modules = modules::with(bench, "accounts")?;
    let turn = |contender, check| Turn {
        contender,
        events: bench.events,
        accounts: accounts_of(bench.events),
        modules: modules.path(),
        check,
    };
    let turns = [
        turn(Contender::RawRead, Check::None),
        turn(Contender::SetBased, Check::Accounts("set_based")),
        turn(Contender::NativeFold, Check::Accounts("native_fold")),
        turn(Contender::HostCatchUp, Check::Accounts("accounts_1")),
    ];
    let rounds = turns::take(bench, WORKLOAD, bench.rounds(ROUNDS), &turns).await?;
    report.add(WORKLOAD, &rounds);
    let (host, native) = (Contender::HostCatchUp, Contender::NativeFold);
    let set_based = Contender::SetBased;
    report.ratio("catchup_vs_native_fold", rounds.ratio(host, native));
    report.ratio("catchup_vs_set_based", rounds.ratio(host, set_based));
    // The reference must not be detuned.
    report.ratio("native_fold_vs_set_based", rounds.ratio(native, set_based));
    report.figure("rss_catchup_200k_mib", rounds.peak_rss_mib(host));
    Ok(())
}
