//! `projectionist activate`: forward to a version that waits for it, or back to one that was live.

use std::time::{Duration, Instant};

use super::criteria::explain;
use super::database::{self, DatabaseArguments};
use super::output::{self, Exit, OutputArguments, Refusal};
use super::words::grouped;
use crate::admin::{self, Activated, Activation};
use crate::store::Unseen;

/// Between two looks for a version that is not known yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Make a version of a line the one that readers see: roll back, or forward.
///
/// The version goes on from its own checkpoint, if it was stopped. When it has caught up with the live version, readers of the
/// line see it instead, from one moment to the next, and the version that was live is detached; its tables stay. A host does
/// that; this command returns at once unless it is told to wait. To give such a wish up, activate the version that is live.
///
/// Of processors the one that works is stopped, and the other goes on exactly there, so that nothing is done twice. One that
/// rebuilds its state first goes through what it has not seen, without effects.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: --wait is over and it is not live yet.

Examples:
  projectionist activate accounts_1
  projectionist activate accounts_2 --wait
  projectionist activate mails_1 --repeat-effects")]
pub struct Arguments {
    /// The version, such as accounts_1.
    #[arg(value_name = "ID")]
    id: String,
    /// Wait until it is live, for so many seconds at most; also for a version that no host has taken up yet.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    wait: Option<u64>,
    /// Let a processor go on from its own checkpoint, and do again what the version before has done since.
    #[arg(long)]
    repeat_effects: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let unseen = if arguments.repeat_effects {
        Unseen::Repeat
    } else {
        Unseen::PassOver
    };
    let mut activation = admin::activate(&opened.store, &arguments.id, unseen).await;
    // A file that was just put there: a host takes it up in a moment.
    let until = Instant::now() + Duration::from_secs(arguments.wait.unwrap_or(0));
    while matches!(activation, Err(admin::Error::UnknownIds { .. })) && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        activation = admin::activate(&opened.store, &arguments.id, unseen).await;
    }
    if let (Ok(done), Some(seconds)) = (&activation, arguments.wait)
        && done.outcome == Activated::Wanted
    {
        let before = done.before.clone();
        let waited = Duration::from_secs(seconds);
        activation = admin::await_live(&opened.store, &arguments.id, waited).await;
        if let Ok(done) = &mut activation {
            done.before = before;
        }
    }
    opened.close().await?;
    let activation = activation.map_err(explain)?;
    if arguments.output.json {
        output::print(serde_json::to_string(&activation)?)?;
    } else if activation.outcome != Activated::Wanted || arguments.wait.is_none() {
        output::print(said(&activation))?;
    }
    match (activation.outcome, arguments.wait) {
        (Activated::Wanted, Some(seconds)) => Err(not_yet(&activation, seconds).into()),
        _ => Ok(()),
    }
}

fn said(activation: &Activation) -> String {
    let Activation {
        line, id, before, ..
    } = activation;
    let works = if activation.kind == "processor" {
        "works"
    } else {
        "is what readers see"
    };
    let instead = before
        .as_ref()
        .filter(|before| *before != id)
        .map_or_else(String::new, |before| format!(" instead of {before}"));
    match activation.outcome {
        Activated::Already => format!("{id} is live already; nothing else is wanted for {line}"),
        Activated::Live => format!("{id} {works} now{instead}"),
        Activated::Wanted => format!(
            "{id} catches up from position {}{}, then it {works}{instead}; `projectionist status` shows how far it is",
            grouped(activation.position),
            activation
                .live_position
                .map_or_else(String::new, |live| format!(" to {}", grouped(live)))
        ),
    }
}

fn not_yet(activation: &Activation, seconds: u64) -> Refusal {
    let mut because = vec![format!(
        "it is at position {}{}",
        grouped(activation.position),
        activation
            .live_position
            .map_or_else(String::new, |live| format!(
                ", and the live version at {}",
                grouped(live)
            ))
    )];
    because.extend(activation.obstacle.clone());
    Refusal {
        what: format!("{} is not live after {seconds} s", activation.id),
        because,
        hint: Some(
            "a host has to run; it goes on trying, and `projectionist status` shows how far it is"
                .to_owned(),
        ),
        exit: Exit::Failed,
    }
}
