//! `projectionist pause`, `projectionist reactivate` and `projectionist retry`.

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments};
use super::output::{self, Exit, OutputArguments, Refusal};
use super::words::counted;
use crate::admin::{self, Change, Done, GuestFailure};

/// Stop subscriptions until they are reactivated.
///
/// Takes effect within a second, on every host, and stays: a host that is started later leaves them paused too. A batch that
/// is open is given up or commits, so nothing is handled twice or left out. Without --id and --group, all subscriptions that
/// can be paused are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named could not be paused.

Examples:
  projectionist pause --id accounts_1
  projectionist pause --group processor")]
pub struct PauseArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Let stopped subscriptions go on: paused, in error, detached or finished ones.
///
/// They go on where they stopped, and the count of retries begins again. Without --id and --group, all subscriptions that are
/// stopped are reactivated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named could not be reactivated.

Examples:
  projectionist reactivate --id accounts_1
  projectionist reactivate --group projector")]
pub struct ReactivateArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Let subscriptions in error try again now, without waiting for the time of their next attempt.
///
/// For after a repair outside of the guest: a table that was locked, a service that is back. The count of attempts goes on, so
/// a failure that stays comes to the same end; reactivate begins a new count. Without --id and --group, all subscriptions in
/// error are retried.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named is not in error.

Examples:
  projectionist retry
  projectionist retry --id accounts_1")]
pub struct RetryArguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn pause(arguments: PauseArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = admin::pause(&opened.store, &(&arguments.criteria).into()).await;
    opened.close().await?;
    show(&changes.map_err(explain)?, "paused", arguments.output)
}

pub async fn reactivate(
    arguments: ReactivateArguments,
    database: &DatabaseArguments,
) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = admin::reactivate(&opened.store, &(&arguments.criteria).into()).await;
    opened.close().await?;
    show(&changes.map_err(explain)?, "reactivated", arguments.output)
}

pub async fn retry(arguments: RetryArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = admin::retry(&opened.store, &(&arguments.criteria).into()).await;
    opened.close().await?;
    show(&changes.map_err(explain)?, "retried", arguments.output)
}

/// Prints what was done, and ends in an error when some of it was not. `participle` says what was asked for.
pub fn show(
    changes: &[Change],
    participle: &str,
    OutputArguments { json }: OutputArguments,
) -> anyhow::Result<()> {
    if json {
        for change in changes {
            output::print(serde_json::to_string(change)?)?;
        }
    } else {
        output::print(render(changes, participle))?;
    }
    judge(changes, participle)
}

/// What was done, a subscription a line.
pub fn render(changes: &[Change], participle: &str) -> String {
    if changes.is_empty() {
        return "there are no subscriptions; `projectionist status` says how to begin".to_owned();
    }
    let mut table = output::table(&["subscription", "was", "is", ""]);
    for change in changes {
        let note = match change.result {
            Done::Done => participle.to_owned(),
            Done::Left => "left as it is".to_owned(),
            Done::Refused | Done::Failed => format!("not {participle}"),
        };
        let after = change.after.as_deref().unwrap_or("gone");
        table.add_row([&change.id, &change.before, after, note.as_str()]);
    }
    let mut text = table.trim_fmt();
    for change in changes {
        let Some(reason) = change.reason.as_deref().filter(|_| is_told(change.result)) else {
            continue;
        };
        text.push_str(&format!("\n{reason}"));
        text.push_str(&details(change.failure.as_ref()));
    }
    text
}

/// What is not in the error that follows.
pub fn is_told(result: Done) -> bool {
    matches!(result, Done::Done | Done::Left)
}

/// An error unless there is no reason why something was not done. `of`: all that was tried, such as "3 events were".
pub fn all_done(because: Vec<String>, of: &str, participle: &str) -> anyhow::Result<()> {
    if because.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        what: format!("{} of {of} not {participle}", because.len()),
        because,
        hint: None,
        exit: Exit::Failed,
    }
    .into())
}

/// What helps to find out why a guest failed.
pub fn details(failure: Option<&GuestFailure>) -> String {
    let mut text = String::new();
    if let Some(failure) = failure {
        for (title, lines) in [
            ("backtrace", &failure.backtrace),
            ("the guest wrote", &failure.output),
        ] {
            if let Some(lines) = lines {
                text.push_str(&format!(
                    "\n  {title}:\n    {}",
                    lines.replace('\n', "\n    ")
                ));
            }
        }
    }
    text
}

fn judge(changes: &[Change], participle: &str) -> anyhow::Result<()> {
    let not_done = changes.iter().filter(|change| !is_told(change.result));
    let because = not_done.map(|change| {
        let reason = change.reason.clone().unwrap_or_default();
        format!("{reason}{}", details(change.failure.as_ref()))
    });
    let of = counted(changes.len(), "subscription was", "subscriptions were");
    all_done(because.collect(), &of, participle)
}
