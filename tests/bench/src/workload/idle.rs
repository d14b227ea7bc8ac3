//! `idle`: ten subscriptions at the head that get events, alone, and among a thousand of which the others want none. A thousand
//! of which ten are busy should cost as ten.

use std::thread;
use std::time::Duration;

use super::modules;
use super::wait::Watcher;
use crate::Bench;
use crate::contender::{self, Contender};
use crate::machine;
use crate::report::{Report, Rounds};
use crate::sample::Sample;

const ROUNDS: u32 = 3;

const BUSY: usize = 10;

/// Subscriptions that want an event that never happens: one with its file, the others copies of its rows.
const WAITING: usize = 990;

const EVENTS: u64 = 70;

/// Between two events: so that each is a batch of its own.
const PAUSE: Duration = Duration::from_millis(20);

const HAPPENED: &str = r#"[{"type":"Happened","data":{}}]"#;

const COPY_ROWS: &str = include_str!("../sql/copy_waiting.sql");

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "idle";
    let modules = modules::with_tallies(bench, BUSY)?;
    modules::add_waiting(bench, &modules, 1)?;
    let contenders = [
        (Contender::HostTen, "idle_ten", 1),
        (Contender::HostTenOfAThousand, "idle_thousand", WAITING),
    ];
    // Once: a thousand subscriptions take longer to be made than all that is measured.
    for (_, name, waiting) in contenders {
        let url = bench.server.url_of(&bench.server.empty(name).await?);
        let prepared = Contender::FanOutPrepared;
        contender::run(bench, prepared, &url, modules.path()).await?;
        let mut watcher = Watcher::connect(&url).await?;
        let copies = COPY_ROWS.replace("{copies}", &(waiting - 1).to_string());
        watcher.execute(&copies).await?;
        watcher.until_active(BUSY + waiting).await?;
        watcher.close().await?;
    }
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds(ROUNDS) {
        for (contender, name, _) in contenders {
            let url = bench.server.url_of(name);
            let mut watcher = Watcher::connect(&url).await?;
            let mut running = contender::start(bench, contender, &url, modules.path())?;
            running.began().await?;
            // Each has to look once for itself.
            let position = watcher.append("thing-1", HAPPENED).await?;
            watcher.until_checkpoints(position).await?;
            let process = running.process();
            let used =
                || anyhow::Ok(machine::cpu_seconds(&process)? + bench.server.busy_seconds()?);
            let began = used()?;
            append_all(&mut watcher).await?;
            let used = used()? - began;
            let sample = running.finish(bench).await?;
            let sample = Sample {
                events: EVENTS * BUSY as u64,
                seconds: used,
                cpu_seconds: used,
                ..sample
            };
            eprintln!("{WORKLOAD:<9} {contender:<24} {used:.2} s of processor time");
            rounds.add(contender, sample);
            watcher.close().await?;
        }
    }
    for (_, name, _) in contenders {
        bench.server.drop(name).await?;
    }
    report.add(WORKLOAD, &rounds);
    let cpu = |sample: &Sample| sample.cpu_seconds;
    report.ratio(
        "ten_busy_of_1000_vs_ten",
        rounds.ratio_by(Contender::HostTenOfAThousand, Contender::HostTen, cpu),
    );
    Ok(())
}

/// One event after the other, each when the busy ones have dealt with the one before.
async fn append_all(watcher: &mut Watcher) -> anyhow::Result<()> {
    let ids: Vec<String> = (0..BUSY)
        .map(|number| format!("'{}'", modules::tallies_id(number)))
        .collect();
    for _ in 0..EVENTS {
        thread::sleep(PAUSE);
        let position = watcher.append("thing-1", HAPPENED).await?;
        let query = format!(
            "SELECT min(position) >= {position} FROM projectionist.checkpoints WHERE subscription = ANY (ARRAY[{}])",
            ids.join(", ")
        );
        watcher
            .in_time("the busy ones have handled it", &query)
            .await?;
    }
    Ok(())
}
