//! `projectionist skip` and `projectionist skipped`.

use subscription::Criteria;

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments};
use super::events::json_line;
use super::intent::show;
use super::output::{self, Exit, OutputArguments, Refusal};
use super::removal::too_vague;
use super::replay::{ReplayArguments, replay};
use crate::admin::{self, SkippedReport, WholeEvent};
use crate::guest::text;

/// Leave out the event that a subscription in error fails at, and let it go on behind it.
///
/// The event is recorded as skipped, with the reason. A read model then lacks what the event would have done: a projector gets
/// it by being built anew, once its guest is mended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named is not in error, or no event is to blame.

Examples:
  projectionist skip --id accounts_1
  projectionist skip --id mails --reason 'the address was never valid, agreed with support'")]
pub struct SkipArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    /// All subscriptions in error.
    #[arg(long, conflicts_with_all = ["id", "group"])]
    all: bool,
    /// Why it is left out [default: the message of the failure].
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
}

/// Show events that guests or operators left out, and why.
#[derive(Debug, clap::Args)]
pub struct SkippedArguments {
    #[command(subcommand)]
    what: SkippedVerb,
}

#[derive(Debug, clap::Subcommand)]
enum SkippedVerb {
    List(ListArguments),
    Show(ShowArguments),
    Replay(ReplayArguments),
}

/// List skipped events.
///
/// Without --id and --group, those of all subscriptions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist skipped list
  projectionist skipped list --id accounts_1 --json")]
struct ListArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Show one skipped event with its data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: this subscription did not skip that event.

Example:
  projectionist skipped show --id accounts_1 --position 17")]
struct ShowArguments {
    /// The subscription that skipped it.
    #[arg(long, value_name = "ID")]
    id: String,
    /// Where the event is in the log.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    position: i64,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn skip(arguments: SkipArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let criteria = Criteria::from(&arguments.criteria);
    if criteria.is_everything() && !arguments.all {
        return Err(too_vague("moved on").into());
    }
    let opened = database::open(database).await?;
    let changes = admin::skip(&opened.store, &criteria, arguments.reason.as_deref()).await;
    opened.close().await?;
    show(&changes.map_err(explain)?, "moved on", arguments.output)
}

pub async fn skipped(
    SkippedArguments { what }: SkippedArguments,
    database: &DatabaseArguments,
) -> anyhow::Result<()> {
    match what {
        SkippedVerb::List(arguments) => list(arguments, database).await,
        SkippedVerb::Show(arguments) => show_one(arguments, database).await,
        SkippedVerb::Replay(arguments) => replay(arguments, database).await,
    }
}

async fn list(arguments: ListArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let found = admin::skipped(&opened.store, &(&arguments.criteria).into()).await;
    opened.close().await?;
    let found = found.map_err(explain)?;
    if arguments.output.json {
        for event in &found {
            output::print(serde_json::to_string(event)?)?;
        }
        return Ok(());
    }
    Ok(output::print(listed(&found))?)
}

fn listed(found: &[SkippedReport]) -> String {
    if found.is_empty() {
        return "no event was skipped".to_owned();
    }
    let mut table = output::table(&[
        "subscription",
        "position",
        "type",
        "by",
        "replayed",
        "reason",
    ]);
    for event in found {
        let event_type = event.event_type.as_deref().unwrap_or("gone");
        let event_type = text::line(event_type, event_type.len());
        table.add_row([
            event.subscription.as_str(),
            &event.position.to_string(),
            &event_type,
            &event.skipped_by,
            if event.replayed_at.is_some() {
                "yes"
            } else {
                "no"
            },
            event.reason.lines().next().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

async fn show_one(arguments: ShowArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let found = admin::skipped_event(&opened.store, &arguments.id, arguments.position).await;
    opened.close().await?;
    let Some(found) = found.map_err(explain)? else {
        return Err(Refusal {
            what: format!("{} did not skip event {}", arguments.id, arguments.position),
            because: Vec::new(),
            hint: Some(format!(
                "`projectionist skipped list --id {}` lists what it skipped",
                arguments.id
            )),
            exit: Exit::Failed,
        }
        .into());
    };
    let text = match arguments.output.json {
        true => as_json(&found)?,
        false => as_text(&found)?,
    };
    Ok(output::print(text)?)
}

fn as_json(found: &WholeEvent) -> anyhow::Result<String> {
    let event = match &found.event {
        Some(event) => serde_json::from_str(&json_line(event)?)?,
        None => serde_json::Value::Null,
    };
    let whole = serde_json::json!({ "skipped": found.skipped, "event": event });
    Ok(serde_json::to_string(&whole)?)
}

fn as_text(found: &WholeEvent) -> anyhow::Result<String> {
    let mut text = String::new();
    for skipped in &found.skipped {
        text.push_str(&format!(
            "{} skipped event {} in generation {} (by {})\n  reason: {}\n",
            skipped.subscription,
            skipped.position,
            skipped.generation,
            skipped.skipped_by,
            skipped.reason.replace('\n', "\n    ")
        ));
        if skipped.replayed_at.is_some() {
            text.push_str("  it was replayed since\n");
        }
    }
    match &found.event {
        Some(event) => text.push_str(&json_line(event)?),
        None => text.push_str("the log does not hold the event any more"),
    }
    Ok(text)
}
