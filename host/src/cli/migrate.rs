//! `projectionist migrate`.

use super::database::{self, DatabaseArguments};
use super::output;

/// Create the event log in the database, or bring it up to date.
///
/// Everything goes into the schema `projectionist`. The role of the URL has to be allowed to create it, and owns it. Running it
/// again changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  projectionist migrate --database-url postgres://app:secret@localhost/app")]
pub struct Arguments {}

pub async fn run(Arguments {}: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    opened.store.migrate().await?;
    output::print("the event log is up to date")?;
    opened.close().await
}
