//! `projectionist refresh`.

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments};
use super::intent::show;
use super::output::OutputArguments;
use crate::admin;

/// Take over what guests say about themselves now.
///
/// New code under the same id is taken up at once, but three things wait for this: another group, always; another filter of a
/// processor, which holds for events behind its checkpoint; another run mode, as long as the subscription is New. Without --id and
/// --group, all subscriptions are refreshed; status shows which of them wait.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription that was named has something that cannot be taken over.

Examples:
  projectionist refresh
  projectionist refresh --id mails --json")]
pub struct Arguments {
    #[command(flatten)]
    criteria: CriteriaArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let changes = admin::refresh(&opened.store, &(&arguments.criteria).into()).await;
    opened.close().await?;
    show(&changes.map_err(explain)?, "refreshed", arguments.output)
}
