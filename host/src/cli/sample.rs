//! `projectionist sample`.

use std::io::{BufWriter, stdout};

use crate::admin::sample::{self, MAX_APPLICATIONS};

/// Print a made-up event log of loan applications, as lines of JSON.
///
/// The same numbers make the same log, twenty events an application on average, in the order of time. Nothing is written to any
/// database.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist sample --applications 1000 > applications.jsonl
  projectionist sample --applications 50 --seed 7 | projectionist import -")]
pub struct Arguments {
    /// How many applications, at most 100000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_APPLICATIONS)))]
    applications: u32,
    /// Another seed makes another log.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = BufWriter::new(stdout().lock());
    Ok(sample::write_lines(
        arguments.applications,
        arguments.seed,
        output,
    )?)
}
