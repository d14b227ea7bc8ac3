//! What people and programs get to see: tables, lines of JSON, errors with a reason and a way out, exit codes.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};

use crate::{admin, store};

/// What scripts can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// Also what the parser of the command line returns.
    Usage = 2,
    Refused = 3,
    Unavailable = 4,
}

/// For verbs that print what they found.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArguments {
    /// Print lines of JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// A refusal of the command line itself, with its reasons and what to do.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub what: String,
    pub because: Vec<String>,
    pub hint: Option<String>,
    pub exit: Exit,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Prints an error to standard error, and says how to exit.
pub fn report(failure: &anyhow::Error) -> Exit {
    // The reader went away, as `head` does: that is its right.
    if failure.chain().any(|cause| matches!(cause.downcast_ref::<io::Error>(), Some(error) if error.kind() == io::ErrorKind::BrokenPipe)) {
        return Exit::Done;
    }
    let _ = io::stderr().lock().write_all(render(failure).as_bytes());
    exit_of(failure)
}

/// `error: what happened`, `because` for each cause, and a `hint` where somebody has one.
pub fn render(failure: &anyhow::Error) -> String {
    let mut text = format!("error: {failure}\n");
    for cause in failure.chain().skip(1) {
        text.push_str(&format!("  because {}\n", indented(&words_of(cause))));
        // Below it are only the same words again.
        if cause.is::<sqlx::Error>() || cause.is::<sqlx::migrate::MigrateError>() {
            break;
        }
    }
    let mut hint = None;
    for cause in failure.chain() {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            for reason in &refusal.because {
                text.push_str(&format!("  because {}\n", indented(reason)));
            }
            hint = hint.or_else(|| refusal.hint.clone());
        }
        if let Some(error) = cause.downcast_ref::<store::Error>() {
            hint = hint.or_else(|| hint_of(error));
        }
    }
    if let Some(hint) = hint {
        text.push_str(&format!("  hint: {}\n", indented(&hint)));
    }
    text
}

/// A cause in its own words. The driver's preface says nothing that its reader does not know.
fn words_of(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(refusal)) => refusal.message().to_owned(),
        Some(sqlx::Error::Io(error)) => error.to_string(),
        _ => cause.to_string(),
    }
}

fn hint_of(error: &store::Error) -> Option<String> {
    let advice = match error {
        store::Error::WrongVersion { .. } => {
            "read the stream again (projectionist events --stream NAME), decide again, and append with its present version"
        }
        store::Error::IdTaken { .. } => "give every event an id of its own, or none",
        store::Error::Immutable { .. } => {
            "append an event that corrects or revokes the earlier one"
        }
        store::Error::BadEvent { .. } => {
            "projectionist append --help shows what an event looks like"
        }
        store::Error::NotMigrated { .. } => "projectionist migrate creates it",
        store::Error::Connect { .. } => {
            "check --database-url, or leave it out to use the embedded server"
        }
        _ => return error.database_hint().map(str::to_owned),
    };
    Some(advice.to_owned())
}

fn exit_of(failure: &anyhow::Error) -> Exit {
    for cause in failure.chain() {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.exit;
        }
        if let Some(admin::import::Error::BadLines { .. }) = cause.downcast_ref() {
            return Exit::Refused;
        }
        match cause.downcast_ref::<store::Error>() {
            Some(store::Error::Connect { .. }) => return Exit::Unavailable,
            Some(
                store::Error::WrongVersion { .. }
                | store::Error::IdTaken { .. }
                | store::Error::Immutable { .. }
                | store::Error::BadEvent { .. },
            ) => return Exit::Refused,
            _ => {}
        }
    }
    Exit::Failed
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// A table in the style of all verbs: no frame, as wide as the terminal.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// Writes to standard output. Its end may have gone away, which is an error and not a panic.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
