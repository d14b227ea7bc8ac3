//! `accounts`: the whole log folded into one row an account.

use std::path::Path;

use super::{check, modules};
use crate::Bench;
use crate::contender::Contender;
use crate::report::{Report, Rounds};

/// One round trip an event is so slow that a part of the log has to do.
pub const SLICE: u64 = 10;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "accounts";
    let modules = modules::with(bench, "accounts")?;
    let mut rounds = Rounds::default();
    for _ in 0..bench.runs {
        let database = bench.server.with_log(bench.events, WORKLOAD).await?;
        let order = [
            (Contender::RawRead, None),
            (Contender::SetBased, Some("set_based")),
            (Contender::NativeFold, Some("native_fold")),
            (Contender::HostCatchUp, Some("accounts_1")),
        ];
        for (contender, schema) in order {
            let sample = bench
                .sample(WORKLOAD, contender, &database, modules.path())
                .await?;
            rounds.add(contender, sample);
            if let Some(schema) = schema {
                check::accounts(bench, &database, schema).await?;
            }
        }
        bench.server.drop(&database).await?;
        let database = bench
            .server
            .with_log(bench.events / SLICE, "accounts_slice")
            .await?;
        let per_event = Contender::NativePerEvent;
        let sample = bench
            .sample(WORKLOAD, per_event, &database, Path::new(""))
            .await?;
        rounds.add(per_event, sample);
        check::accounts(bench, &database, "native_per_event").await?;
        bench.server.drop(&database).await?;
    }
    report.add(WORKLOAD, &rounds);
    let host = Contender::HostCatchUp;
    report.ratio(
        "catchup_vs_native_fold",
        rounds.ratio(host, Contender::NativeFold),
    );
    report.ratio(
        "catchup_vs_set_based",
        rounds.ratio(host, Contender::SetBased),
    );
    // The reference must not be detuned.
    report.ratio(
        "native_fold_vs_set_based",
        rounds.ratio(Contender::NativeFold, Contender::SetBased),
    );
    report.figure("rss_catchup_200k_mib", rounds.peak_rss_mib(host));
    Ok(())
}
