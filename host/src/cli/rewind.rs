//! `projectionist rewind`.

use subscription::Criteria;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::criteria::explain;
use super::database::{self, DatabaseArguments, Opened};
use super::guests::runtime;
use super::intent::show;
use super::removal::{Common, ask, too_vague};
use super::words::{counted, grouped};
use crate::admin::{self, Change, Effects, Removable, Rewind, RowsOf, Target};

/// Send subscriptions back in the log: they begin a new generation and handle again what comes after.
///
/// Their tables are dropped and made anew in one transaction, unless --keep-rows is given; then events are handled again over the
/// rows that they made before, so that exactly once no longer holds. What a rewound projector holds is what comes after the position:
/// go back to 0 for all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription was not rewound.

Examples:
  projectionist rewind --id accounts_1 --to 0 --yes
  projectionist rewind --id mails --to-time 2026-03-01T00:00:00Z --keep-rows --repeat-effects")]
#[command(group(clap::ArgGroup::new("target").required(true).args(["to", "to_time"])))]
pub struct Arguments {
    /// Behind this position; 0 is the beginning.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    to: Option<i64>,
    /// Before everything that was recorded then or later.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    to_time: Option<OffsetDateTime>,
    /// Keep the tables and what is in them.
    #[arg(long)]
    keep_rows: bool,
    /// Processors do again what they did: say that it is meant.
    #[arg(long)]
    repeat_effects: bool,
    #[command(flatten)]
    common: Common,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let criteria = Criteria::from(&arguments.common.criteria);
    if criteria.is_everything() && !arguments.common.all {
        return Err(too_vague("rewound").into());
    }
    let opened = database::open(database).await?;
    let changes = rewind_all(&arguments, &criteria, &opened).await;
    opened.close().await?;
    show(&changes?, "rewound", arguments.common.output)
}

async fn rewind_all(
    arguments: &Arguments,
    criteria: &Criteria,
    opened: &Opened,
) -> anyhow::Result<Vec<Change>> {
    let found = admin::removable(&opened.store, criteria).await;
    let found = found.map_err(explain)?;
    let target = match (arguments.to, arguments.to_time) {
        (_, Some(time)) => Target::Time(time),
        (position, None) => Target::Position(position.unwrap_or(0)),
    };
    let to = target.position(&opened.store).await.map_err(explain)?;
    if !arguments.keep_rows && !arguments.common.yes && !found.is_empty() {
        ask(&question(&found, to), "rewound")?;
    }
    let rewind = Rewind {
        store: opened.store.clone(),
        runtime: runtime()?,
        compiler: arguments.common.compiler.beside(opened)?,
        lane_patience: admin::removal::LANE_PATIENCE,
        rows: match arguments.keep_rows {
            true => RowsOf::Kept,
            false => RowsOf::Dropped,
        },
        effects: match arguments.repeat_effects {
            true => Effects::Repeated,
            false => Effects::NotMeant,
        },
    };
    let mut changes = Vec::new();
    for one in &found {
        changes.push(rewind.rewind(&one.id, to).await.map_err(explain)?);
    }
    Ok(changes)
}

fn question(found: &[Removable], to: i64) -> String {
    let mut text = String::new();
    for one in found {
        text.push_str(&format!(
            "{} ({}, {}): its tables are dropped and filled again with what comes after position {}\n",
            one.id,
            one.kind,
            one.status,
            grouped(to)
        ));
    }
    let what = counted(found.len(), "subscription", "subscriptions");
    text.push_str(&format!("Rewind {what}?"));
    text
}

fn time_of(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("a time such as 2026-03-01T12:00:00Z: {error}"))
}
