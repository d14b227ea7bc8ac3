//! `projectionist skipped replay`.

use subscription::Criteria;

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments, Opened};
use super::guests::{CompilerArguments, runtime};
use super::intent::{all_done, details, is_told};
use super::output::{self, OutputArguments};
use super::removal::too_vague;
use super::words::counted;
use crate::admin::{self, Done, Replay, Replayed};

/// Hand skipped events to their processors after all.
///
/// For after a repair: each event is handled now, by the newest module, out of order and in a transaction of its own, and is marked
/// as replayed. At least once: if it fails again, what its guest did outside of the database may have happened. A projector is not
/// replayed into but built anew, with rewind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some event was not replayed; it stays skipped.

Examples:
  projectionist skipped replay --id mails
  projectionist skipped replay --id mails --position 17 --position 23")]
pub struct ReplayArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    /// All subscriptions.
    #[arg(long, conflicts_with_all = ["id", "group"])]
    all: bool,
    /// Only this event. May be repeated.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    position: Vec<i64>,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn replay(
    arguments: ReplayArguments,
    database: &DatabaseArguments,
) -> anyhow::Result<()> {
    let criteria = Criteria::from(&arguments.criteria);
    if criteria.is_everything() && !arguments.all {
        return Err(too_vague("replayed").into());
    }
    let opened = database::open(database).await?;
    let replayed = replay_on(&arguments, &criteria, &opened).await;
    opened.close().await?;
    let replayed = replayed?;
    if arguments.output.json {
        for one in &replayed {
            output::print(serde_json::to_string(one)?)?;
        }
    } else {
        output::print(render(&replayed))?;
    }
    let not_done = replayed.iter().filter(|one| !is_told(one.result));
    let because = not_done.map(|one| {
        let reason = one.reason.clone().unwrap_or_default();
        format!("{reason}{}", details(one.failure.as_ref()))
    });
    all_done(
        because.collect(),
        &counted(replayed.len(), "event was", "events were"),
        "replayed",
    )
}

async fn replay_on(
    arguments: &ReplayArguments,
    criteria: &Criteria,
    opened: &Opened,
) -> anyhow::Result<Vec<Replayed>> {
    let replay = Replay {
        store: opened.store.clone(),
        runtime: runtime()?,
        compiler: arguments.compiler.beside(opened)?,
        lane_patience: admin::removal::LANE_PATIENCE,
    };
    let replayed = replay.replay(criteria, &arguments.position).await;
    replayed.map_err(explain)
}

fn render(replayed: &[Replayed]) -> String {
    if replayed.is_empty() {
        return "there is nothing to replay: no event is skipped".to_owned();
    }
    let mut table = output::table(&["subscription", "position", "type", ""]);
    for one in replayed {
        let note = match one.result {
            Done::Done => "replayed",
            Done::Left => "left as it is",
            Done::Refused | Done::Failed => "not replayed",
        };
        let position = one.position.map_or_else(String::new, |at| at.to_string());
        let event_type = one.event_type.as_deref().unwrap_or_default();
        table.add_row([one.id.as_str(), &position, event_type, note]);
    }
    let mut text = table.trim_fmt();
    let told = replayed.iter().filter(|one| is_told(one.result));
    for reason in told.filter_map(|one| one.reason.as_ref()) {
        text.push_str(&format!("\n{reason}"));
    }
    text
}
