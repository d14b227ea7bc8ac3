//! `projectionist setup` and `projectionist boot`: what a host does by itself, done once by hand.

use std::path::PathBuf;

use subscription::{Criteria, Status};

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments, Opened};
use super::guests::CompilerArguments;
use super::intent::show;
use super::output::OutputArguments;
use super::words::counted;
use crate::admin::{self, Change, Done};
use crate::engine::{Host, Manner, Options, Outcome, StartAt, Stepped};

/// Set New subscriptions up: their guest makes its tables.
///
/// A running host does so by itself, at once. By hand it is for choosing where a subscription begins, or for preparing a database
/// before any host runs: with --modules, guests of that directory are registered first. Without --id and --group, all that are
/// New are set up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named is not New, or its setup failed.

Examples:
  projectionist setup --modules ./modules
  projectionist setup --modules ./modules --id mails --from now
  projectionist setup --id accounts_1 --from 4711 --skip-boot")]
pub struct SetupArguments {
    /// Register the guests of this directory first.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Where to begin instead of where the run mode says: beginning, now, or behind a position.
    #[arg(long, value_name = "beginning|now|POSITION", value_parser = start_at)]
    from: Option<StartAt>,
    /// Follow at once instead of booting: the guest is told that it is live from the first event on.
    #[arg(long)]
    skip_boot: bool,
    #[command(flatten)]
    common: Common,
}

/// Take Booting subscriptions through history, and leave.
///
/// A running host does so by itself. Without --id and --group, all that are Booting are taken.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named is not Booting, or failed.

Examples:
  projectionist boot
  projectionist boot --id accounts_1 --limit 100000")]
pub struct BootArguments {
    /// At most so many events for each subscription; the next call goes on behind them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn setup(arguments: SetupArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = setup_on(&arguments, &opened).await;
    opened.close().await?;
    show(&changes?, "set up", arguments.common.output)
}

async fn setup_on(arguments: &SetupArguments, opened: &Opened) -> anyhow::Result<Vec<Change>> {
    let mut host = host(&arguments.common, arguments.modules.clone(), opened).await?;
    if arguments.modules.is_some() {
        host.register().await?;
    }
    let manner = match arguments.skip_boot {
        true => Manner::SkipBoot,
        false => Manner::Usual,
    };
    let ids = ids(&arguments.common, opened).await?;
    let start = arguments.from.unwrap_or(StartAt::Unchanged);
    let done = host.set_up(&ids, start, manner).await?;
    Ok(changes(&arguments.common, done, Status::New))
}

pub async fn boot(arguments: BootArguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = boot_on(&arguments, &opened).await;
    opened.close().await?;
    show(&changes?, "booted", arguments.common.output)
}

async fn boot_on(arguments: &BootArguments, opened: &Opened) -> anyhow::Result<Vec<Change>> {
    let mut host = host(&arguments.common, None, opened).await?;
    let ids = ids(&arguments.common, opened).await?;
    let done = host.boot(&ids, arguments.limit).await?;
    Ok(changes(&arguments.common, done, Status::Booting))
}

async fn host(common: &Common, modules: Option<PathBuf>, opened: &Opened) -> anyhow::Result<Host> {
    let compiler = common.compiler.beside(opened)?;
    let options = Options::new(&modules.unwrap_or_default(), compiler);
    Ok(Host::start(opened.store.clone(), options).await?)
}

async fn ids(common: &Common, opened: &Opened) -> anyhow::Result<Vec<String>> {
    let criteria = Criteria::from(&common.criteria);
    let found = admin::matching(&opened.store, &criteria).await;
    found.map_err(explain)
}

/// In the words of all verbs. `wanted` is the status that the verb is for.
fn changes(common: &Common, done: Vec<Stepped>, wanted: Status) -> Vec<Change> {
    let is_named = !common.criteria.id.is_empty();
    done.into_iter()
        .map(|stepped| change(stepped, is_named, wanted))
        .collect()
}

fn change(stepped: Stepped, is_named: bool, wanted: Status) -> Change {
    let Stepped {
        id,
        before,
        after,
        outcome,
        events,
    } = stepped;
    let handled = counted(events, "event", "events");
    let (result, reason) = match outcome {
        Outcome::Done if events == 0 => (Done::Done, None),
        Outcome::Done => (Done::Done, Some(format!("{handled} handled"))),
        Outcome::Limited => (
            Done::Done,
            Some(format!("{handled} handled; there may be more")),
        ),
        Outcome::Failed(message) => (
            Done::Failed,
            Some(format!(
                "it failed: {message}; `projectionist status` shows all of it"
            )),
        ),
        Outcome::Illegal(_) if !is_named => (Done::Left, Some(format!("it is not {wanted}"))),
        Outcome::Illegal(illegal) if wanted == Status::New => {
            (Done::Refused, Some(illegal.to_string()))
        }
        Outcome::Illegal(_) => (
            Done::Refused,
            Some(format!(
                "a subscription that is {before} cannot be booted: only one that is {wanted} can"
            )),
        ),
    };
    Change {
        reason: reason.map(|reason| format!("{id}: {reason}")),
        id,
        result,
        before: before.to_string(),
        after: after.map(|status| status.to_string()),
        failure: None,
    }
}

fn start_at(text: &str) -> Result<StartAt, String> {
    match text {
        "beginning" => Ok(StartAt::After(0)),
        "now" => Ok(StartAt::Now),
        position => match position.parse() {
            Ok(position @ 0..) => Ok(StartAt::After(position)),
            _ => Err("beginning, now, or a position of the log, such as 4711".to_owned()),
        },
    }
}
