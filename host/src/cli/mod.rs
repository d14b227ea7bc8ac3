//! Floor 4: the command line. Each verb is a file: its arguments, and `run`, which calls `admin` or the store and prints.
//!
//! To add a verb: a file with `Arguments` and `run`, a line in [`Verb`] and one in [`run`].

mod activate;
mod append;
mod check;
mod criteria;
mod database;
mod doctor;
mod events;
mod guests;
mod import;
mod install;
mod intent;
mod log;
mod migrate;
mod modules;
mod once;
mod output;
mod presenter;
mod refresh;
mod removal;
mod replay;
mod report;
mod rewind;
mod run;
mod sample;
mod skip;
mod status;
mod status_lines;
mod status_text;
mod steps;
mod wait;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::guest::{COMPILE_VERB, CompileLimits, compile_stdin, engine};

pub use database::{DatabaseArguments, Opened, open};
pub use output::{Exit, OutputArguments, Refusal};

/// Keeps projections alive: follows an event log in PostgreSQL and runs projectors and processors that are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "projectionist", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed, also for only some of the subscriptions; check: the file would be refused
  2  the command line was not understood
  3  refused by a rule: another version was expected, an id is taken, a line is not an event
  4  the database is out of reach

Example, from nothing to an event log that can be looked at:
  projectionist sample --applications 100 | projectionist import -
  projectionist events --last 5";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    Setup(steps::SetupArguments),
    Boot(steps::BootArguments),
    Pause(intent::PauseArguments),
    Reactivate(intent::ReactivateArguments),
    Retry(intent::RetryArguments),
    Refresh(refresh::Arguments),
    Skip(skip::SkipArguments),
    Skipped(skip::SkippedArguments),
    Rewind(rewind::Arguments),
    Activate(activate::Arguments),
    Modules(modules::Arguments),
    Install(install::Arguments),
    Remove(removal::RemoveArguments),
    Teardown(removal::TeardownArguments),
    Wait(wait::Arguments),
    Append(append::Arguments),
    Import(import::Arguments),
    Events(events::Arguments),
    Sample(sample::Arguments),
    Doctor(doctor::Arguments),
    Migrate(migrate::Arguments),
}

/// Parses the command line of this process, does what it says and prints what came of it.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == COMPILE_VERB)
    {
        return compile();
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(failure) => {
            return output::report(
                &anyhow::Error::from(failure).context("no threads to work with"),
            )
            .into();
        }
    };
    let exit = match runtime.block_on(run(arguments)) {
        Ok(()) => Exit::Done,
        Err(failure) => output::report(&failure),
    };
    // A read of standard input that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    exit.into()
}

/// The child process that compiles one module: no threads, no database, limits on itself.
fn compile() -> ExitCode {
    match engine() {
        Ok(engine) => {
            let limits = CompileLimits::from_words(std::env::args().skip(2));
            ExitCode::from(u8::try_from(compile_stdin(&engine, limits)).unwrap_or(1))
        }
        Err(error) => output::report(&error.into()).into(),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = &arguments.database;
    match arguments.verb {
        Verb::Run(arguments) => run::run(arguments, database).await,
        Verb::Check(arguments) => check::run(arguments).await,
        Verb::Status(arguments) => status::run(arguments, database).await,
        Verb::Setup(arguments) => steps::setup(arguments, database).await,
        Verb::Boot(arguments) => steps::boot(arguments, database).await,
        Verb::Pause(arguments) => intent::pause(arguments, database).await,
        Verb::Reactivate(arguments) => intent::reactivate(arguments, database).await,
        Verb::Retry(arguments) => intent::retry(arguments, database).await,
        Verb::Refresh(arguments) => refresh::run(arguments, database).await,
        Verb::Skip(arguments) => skip::skip(arguments, database).await,
        Verb::Skipped(arguments) => skip::skipped(arguments, database).await,
        Verb::Rewind(arguments) => rewind::run(arguments, database).await,
        Verb::Modules(arguments) => modules::run(arguments, database).await,
        Verb::Install(arguments) => install::run(arguments).await,
        Verb::Activate(arguments) => activate::run(arguments, database).await,
        Verb::Remove(arguments) => removal::remove(arguments, database).await,
        Verb::Teardown(arguments) => removal::teardown(arguments, database).await,
        Verb::Wait(arguments) => wait::run(arguments, database).await,
        Verb::Append(arguments) => append::run(arguments, database).await,
        Verb::Import(arguments) => import::run(arguments, database).await,
        Verb::Events(arguments) => events::run(arguments, database).await,
        Verb::Sample(arguments) => sample::run(arguments),
        Verb::Doctor(arguments) => doctor::run(arguments, database).await,
        Verb::Migrate(arguments) => migrate::run(arguments, database).await,
    }
}

/// The help text of a verb (`skipped`, `skipped list`), or of the whole command for none, as a person sees it.
pub fn help_of(verb: Option<&str>) -> String {
    let verb = verb.unwrap_or_default().split_whitespace();
    let words = ["projectionist"].into_iter().chain(verb).chain(["--help"]);
    let shown = Arguments::command()
        .term_width(100)
        .try_get_matches_from(words.map(OsString::from));
    match shown {
        Err(help) => help.to_string(),
        Ok(_) => unreachable!("--help is never a match"),
    }
}

/// The names of all verbs, and of the parts of those that have some: `skipped`, `skipped list`.
pub fn verbs_with_parts() -> Vec<String> {
    let mut all = Vec::new();
    for verb in Arguments::command().get_subcommands() {
        all.push(verb.get_name().to_owned());
        let parts = verb.get_subcommands();
        all.extend(parts.map(|part| format!("{} {}", verb.get_name(), part.get_name())));
    }
    all
}

/// The names of all verbs.
pub fn verbs() -> Vec<String> {
    Arguments::command()
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect()
}
