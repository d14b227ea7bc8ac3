//! `projectionist import`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::database::{self, DatabaseArguments};
use super::output::{self, Exit, OutputArguments, Refusal};
use crate::admin::import::{self, Error, Input, Progress};

/// Take a file of events into the log, in bulk.
///
/// The file has an event a line, as JSON, plain or compressed with gzip. All lines are checked before the first is written. They
/// are written in the order of the file, five thousand to a transaction, so that readers go on meanwhile.
///
/// An import that was interrupted can be repeated: a line without an id gets one that follows from the content of the file and
/// the number of the line, and ids that are in the log already are skipped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line:
  {\"stream\": \"account-17\", \"type\": \"MoneyDeposited\", \"data\": {\"amount\": 50}}
Also possible in it: metadata (an object), id, causation_id, correlation_id (UUIDs), tags (texts),
recorded_at (a timestamp with a zone). position and version are ignored: what
`projectionist events --json` prints can be imported elsewhere.

Examples:
  projectionist import events.jsonl.gz
  projectionist sample --applications 100 | projectionist import -")]
pub struct Arguments {
    /// The file, or - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let bar = bar();
    let started = Instant::now();
    let outcome = import::import(
        &opened.store,
        &Input::from(arguments.file.as_path()),
        |now| show(&bar, now),
    )
    .await;
    bar.finish_and_clear();
    let written = match outcome {
        Ok(written) => written,
        Err(error) => {
            opened.close().await?;
            return Err(explain(error));
        }
    };
    if arguments.output.json {
        output::print(
            serde_json::json!({ "imported": written.imported, "already_there": written.already_there }),
        )?;
    } else {
        let seconds = started.elapsed().as_secs_f64();
        output::print(format!(
            "{} events imported, {} were already there ({seconds:.1} s)",
            written.imported, written.already_there
        ))?;
    }
    opened.close().await
}

/// Shown on a terminal only.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    let (template, done, of) = match progress {
        Progress::Checking { bytes, of } => (
            "checking {bar:40} {binary_bytes} of {binary_total_bytes}",
            bytes,
            of,
        ),
        Progress::Writing { events, of } => (
            "writing  {bar:40} {human_pos} of {human_len} events, {per_sec}, {eta} left",
            events,
            of,
        ),
    };
    bar.set_style(
        ProgressStyle::with_template(template).expect("the templates above are well formed"),
    );
    bar.set_length(of);
    bar.set_position(done);
}

/// The bad lines one by one.
fn explain(error: Error) -> anyhow::Error {
    if let Error::Changed { .. } = error {
        let hint = Some(
            "compare the log with the file; what the file had before the change is in it"
                .to_owned(),
        );
        return Refusal {
            what: error.to_string(),
            because: Vec::new(),
            hint,
            exit: Exit::Failed,
        }
        .into();
    }
    let Error::BadLines { count, first, .. } = &error else {
        return error.into();
    };
    let mut because: Vec<String> = first
        .iter()
        .map(|bad| format!("line {}: {}", bad.number, bad.reason))
        .collect();
    let untold = count - because.len() as u64;
    if untold > 0 {
        because.push(format!("... and {untold} more"));
    }
    let hint = Some("correct these lines and import again; projectionist import --help shows what a line looks like".to_owned());
    Refusal {
        what: error.to_string(),
        because,
        hint,
        exit: Exit::Refused,
    }
    .into()
}
