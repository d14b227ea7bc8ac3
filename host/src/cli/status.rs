//! `projectionist status`.

use std::io::{self, Write as _};
use std::time::Duration;

use console::Term;
use subscription::Criteria;

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments};
use super::output::{self, OutputArguments};
use super::status_text;
use crate::admin::{self, StatusReport};
use crate::store::Store;

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Show how every subscription stands: its position, how far it is behind, and what is wrong.
///
/// Below the table are errors in full, files that were refused with the reason, the hosts that are alive, and transactions that
/// hold the log up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist status
  projectionist status --watch --group projector
  projectionist status --json | jq '.subscriptions[] | select(.error) | {id, error: .error.message}'")]
pub struct Arguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    /// Look again every second, until interrupted.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let outcome = tokio::select! {
        outcome = show(&arguments, &opened.store) => outcome,
        // The end that a watcher is meant to have.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    opened.close().await?;
    outcome
}

async fn show(arguments: &Arguments, store: &Store) -> anyhow::Result<()> {
    let criteria = Criteria::from(&arguments.criteria);
    if !arguments.watch {
        let report = admin::status(store, &criteria).await.map_err(explain)?;
        return print(&report, arguments.output);
    }
    let terminal = Term::stdout();
    let mut picture = Picture::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let report = match admin::status(store, &criteria).await {
            Ok(report) => report,
            // A restart of the database is what a watcher wants to see through. What fails at the first look stays so.
            Err(admin::Error::Store(error)) if picture.lines > 0 => {
                let why = output::render(&error.into());
                picture.draw(&terminal, &format!("{why}looking again every second"))?;
                continue;
            }
            Err(error) => return Err(explain(error)),
        };
        if terminal.is_term() && !arguments.output.json {
            let (_, width) = terminal.size();
            picture.draw(&terminal, &status_text::render(&report, Some(width)))?;
        } else {
            print(&report, arguments.output)?;
        }
    }
}

fn print(report: &StatusReport, OutputArguments { json }: OutputArguments) -> anyhow::Result<()> {
    if json {
        output::print(serde_json::to_string(report)?)?;
    } else {
        let terminal = Term::stdout();
        let width = terminal.is_term().then(|| terminal.size().1);
        output::print(status_text::render(report, width))?;
    }
    Ok(())
}

/// What `--watch` has on the terminal. A new text is written over it line by line, so that nothing flickers.
#[derive(Default)]
struct Picture {
    lines: usize,
}

impl Picture {
    fn draw(&mut self, terminal: &Term, text: &str) -> io::Result<()> {
        let (height, width) = terminal.size();
        let lines = fitting(text, usize::from(height), usize::from(width));
        let mut frame = String::new();
        if self.lines > 0 {
            frame.push_str(&format!("\x1b[{}A\r", self.lines));
        }
        for line in &lines {
            // Over the old line; what was longer is cleared.
            frame.push_str(&format!("{line}\x1b[K\n"));
        }
        // Lines of an earlier, longer text.
        frame.push_str("\x1b[J");
        self.lines = lines.len();
        let mut output = io::stdout().lock();
        output.write_all(frame.as_bytes())?;
        output.flush()
    }
}

/// The lines that fit on a screen: what scrolled out of it could not be written over.
fn fitting(text: &str, height: usize, width: usize) -> Vec<String> {
    let room = height.saturating_sub(1).max(1);
    let all: Vec<&str> = text.lines().collect();
    let cut = |line: &&str| console::truncate_str(line, width, "…").into_owned();
    if all.len() <= room {
        return all.iter().map(cut).collect();
    }
    let shown = room - 1;
    let mut lines: Vec<String> = all.iter().take(shown).map(cut).collect();
    let more = format!("… {} more lines", all.len() - shown);
    lines.push(console::truncate_str(&more, width, "").into_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_picture_fits_the_screen() {
        let text = "a\nbbbbbbbb\nc\nd";
        assert_eq!(fitting(text, 10, 5), ["a", "bbbb…", "c", "d"]);
        assert_eq!(fitting(text, 4, 80), ["a", "bbbbbbbb", "… 2 more lines"]);
        assert_eq!(fitting(text, 5, 80), ["a", "bbbbbbbb", "c", "d"]);
        assert_eq!(fitting(text, 1, 80), ["… 4 more lines"]);
    }
}
