//! `fan-out`: a hundred subscriptions at the head that all want the same events; what they cost beside what their guests and
//! commits alone cost.

use super::modules;
use super::wait::Watcher;
use crate::Bench;
use crate::contender::{self, Contender, FAN_OUT_EVENTS, FAN_OUT_SUBSCRIPTIONS};
use crate::report::{Report, Rounds};

const HAPPENED: &str = r#"[{"type":"Happened","data":{"note":"monthly salary, paid on the last working day","reference":"REF-0000000001","channel":"mobile"}}]"#;

const ROUNDS: u32 = 3;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "fan-out";
    let modules = modules::with_tallies(bench, FAN_OUT_SUBSCRIPTIONS)?;
    let mut rounds = Rounds::default();
    let mut ratios = Vec::new();
    // Once: so many subscriptions take longer to be made than all that is measured.
    let database = bench.server.empty("fan_out").await?;
    let url = bench.server.url_of(&database);
    let prepared = Contender::FanOutPrepared;
    contender::run(bench, prepared, &url, modules.path()).await?;
    let mut watcher = Watcher::connect(&url).await?;
    watcher.until_active(FAN_OUT_SUBSCRIPTIONS).await?;
    for round in 1..=bench.rounds(ROUNDS) {
        let mut own = contender::start(bench, Contender::FanOutOwnWork, &url, modules.path())?;
        own.began().await?;
        append_all(&mut watcher).await?;
        let own = own.finish(bench).await?;
        eprintln!("{WORKLOAD:<9} {:<24} {own}", Contender::FanOutOwnWork);

        let mut host = contender::start(bench, Contender::HostFanOut, &url, modules.path())?;
        host.began().await?;
        append_all(&mut watcher).await?;
        let mut host = host.finish(bench).await?;
        host.events = own.events;
        eprintln!("{WORKLOAD:<9} {:<24} {host}", Contender::HostFanOut);

        for number in [0, FAN_OUT_SUBSCRIPTIONS - 1] {
            let counted = format!(
                "SELECT events = {} FROM {}.tally",
                2 * FAN_OUT_EVENTS * u64::from(round),
                modules::tallies_id(number)
            );
            watcher
                .until("every event is counted once", &counted)
                .await?;
        }
        ratios.push(
            (host.cpu_seconds + host.server_cpu_seconds)
                / (own.cpu_seconds + own.server_cpu_seconds),
        );
        rounds.add(Contender::FanOutOwnWork, own);
        rounds.add(Contender::HostFanOut, host);
    }
    watcher.close().await?;
    bench.server.drop(&database).await?;
    report.add(WORKLOAD, &rounds);
    report.ratio("fanout_100_vs_own_work", crate::sample::median(ratios));
    Ok(())
}

/// One event after the other, each when all have dealt with the one before.
async fn append_all(watcher: &mut Watcher) -> anyhow::Result<()> {
    for _ in 0..FAN_OUT_EVENTS {
        let position = watcher.append("thing-1", HAPPENED).await?;
        watcher.until_checkpoints(position).await?;
    }
    Ok(())
}
