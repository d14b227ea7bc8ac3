//! `append`: many clients append single events while a host follows, with the bell and with a trigger that does nothing.

use std::path::Path;

use super::modules;
use super::wait::Watcher;
use crate::Bench;
use crate::contender::{self, Contender};
use crate::report::{Report, Rounds};

/// More than elsewhere: each is short, and what the disk does in it differs by a third from one to the next.
const ROUNDS: u32 = 7;

const EMPTY_TRIGGER: &str = "CREATE OR REPLACE FUNCTION projectionist.ring_the_bell() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'";

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "append";
    let modules = modules::with(bench, "accounts")?;
    let mut rounds = Rounds::default();
    for round in 0..bench.rounds(ROUNDS) {
        let mut order = [Contender::AppendersAlone, Contender::AppendersWithBell];
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            let database = bench.server.empty(WORKLOAD).await?;
            let url = bench.server.url_of(&database);
            let mut watcher = Watcher::connect(&url).await?;
            if contender == Contender::AppendersAlone {
                watcher.execute(EMPTY_TRIGGER).await?;
            }
            let host = contender::start(bench, Contender::HostLive, &url, modules.path())?;
            watcher.until_active(1).await?;
            let sample = bench
                .sample(WORKLOAD, contender, &database, Path::new(""))
                .await?;
            rounds.add(contender, sample);
            let host = host.finish(bench).await?;
            eprintln!(
                "{WORKLOAD:<9} {:<24} {host}",
                format!("host beside {contender}")
            );
            watcher.close().await?;
            bench.server.drop(&database).await?;
        }
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "append_32_vs_empty_trigger",
        rounds.ratio(Contender::AppendersWithBell, Contender::AppendersAlone),
    );
    Ok(())
}
