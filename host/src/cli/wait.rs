//! `projectionist wait`, and the waiting of `projectionist append --wait`.

use std::time::Duration;

use subscription::Criteria;

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments};
use super::output::{self, Exit, OutputArguments, Refusal};
use super::words::{counted, grouped};
use crate::admin::{self, Goal, WaitOutcome, WaitReport, Whom};

/// Wait until subscriptions have dealt with everything up to a position.
///
/// For scripts and tests that read what they have just written. A subscription that is in error, paused or detached before the
/// position ends the wait at once, with the reason. Without --id and --group, all subscriptions are waited for, except those that
/// are detached or finished.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: the time is over, or a subscription stands still.

Examples:
  projectionist wait --head --timeout 10
  projectionist wait --position 4711 --id accounts_1")]
#[command(group(clap::ArgGroup::new("goal").required(true).args(["position", "head"])))]
pub struct Arguments {
    /// Up to this position of the log.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    position: Option<i64>,
    /// Up to what is the end of the log now.
    #[arg(long)]
    head: bool,
    #[command(flatten)]
    criteria: CriteriaArguments,
    /// Give up after so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    timeout: f64,
    #[command(flatten)]
    output: OutputArguments,
}

/// The longest time that can be waited for: a day, in seconds.
const TIMEOUT_SECONDS_MAX: f64 = 24.0 * 60.0 * 60.0;

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let goal = match arguments.position {
        Some(position) => Goal::Position(position),
        None => Goal::Head,
    };
    let opened = database::open(database).await?;
    let whom = Whom::Meant(Criteria::from(&arguments.criteria));
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let report = admin::wait(&opened.store, &whom, goal, timeout).await;
    opened.close().await?;
    let report = report.map_err(explain)?;
    show(&report, arguments.output)?;
    judge(&report, arguments.timeout, "--timeout")
}

/// Who was waited for, as a table or as a line of JSON.
pub fn show(report: &WaitReport, output: OutputArguments) -> anyhow::Result<()> {
    let text = match output.json {
        true => serde_json::to_string(report)?,
        false => render(report),
    };
    Ok(output::print(text)?)
}

/// Ends in an error unless everybody is there. `option` is what gives it longer.
pub fn judge(report: &WaitReport, timeout_seconds: f64, option: &str) -> anyhow::Result<()> {
    let late: Vec<_> = report.subscriptions.iter().filter(|s| !s.reached).collect();
    let hint = match report.outcome {
        WaitOutcome::Reached => return Ok(()),
        WaitOutcome::Stopped => "`projectionist status` says more about it".to_owned(),
        WaitOutcome::TimedOut => format!(
            "`projectionist status` says whether a host runs and how fast it is; {option} gives it longer"
        ),
    };
    let because = late.iter().map(|one| match &one.stopped {
        Some(why) => format!("{} stays at position {}: {why}", one.id, one.position),
        None => format!("{} is {} at position {}", one.id, one.status, one.position),
    });
    let goal = grouped(report.position);
    let many = counted(late.len(), "subscription", "subscriptions");
    Err(Refusal {
        what: match report.outcome {
            WaitOutcome::TimedOut => {
                format!("{many} did not come to position {goal} within {timeout_seconds} s")
            }
            _ => format!("{many} did not come to position {goal}"),
        },
        because: because.collect(),
        hint: Some(hint),
        exit: Exit::Failed,
    }
    .into())
}

fn render(report: &WaitReport) -> String {
    let mut table = output::table(&["subscription", "status", "position", ""]);
    for one in &report.subscriptions {
        let note = match one.reached {
            true => "is there".to_owned(),
            false => format!("{} to go", grouped(report.position - one.position)),
        };
        let position = grouped(one.position);
        table.add_row([&one.id, &one.status, &position, &note]);
    }
    table.trim_fmt()
}

pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=TIMEOUT_SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!(
            "a number of seconds from 0 to {TIMEOUT_SECONDS_MAX}, such as 2.5"
        )),
    }
}
