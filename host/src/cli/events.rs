//! `projectionist events`.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::value::RawValue;
use subscription::{Clause, Filter, Pattern};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::database::{self, DatabaseArguments};
use super::output::{self, OutputArguments};
use crate::guest::text;
use crate::store::{ReadFilter, ReadLimit, RecordedEvent, Store};

/// Events of one read.
const PAGE_EVENTS: i64 = 1_000;
/// Bytes of one read.
const PAGE_BYTES: usize = 16 * 1024 * 1024;
/// How often a follower looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Characters of the data that a table shows.
const DATA_SHOWN: usize = 100;

/// Show events of the log.
///
/// Prints them in the order of their positions: the first that match, the last ones with --last, or with --follow those that come.
/// A follower waits for transactions that are still open, so that it misses none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist events --last 5
  projectionist events --stream 'account-*' --type MoneyDeposited --after 1000
  projectionist events --follow --json | jq .data")]
pub struct Arguments {
    /// Only this stream; with a * at the end, all that begin so. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = pattern)]
    stream: Vec<Pattern>,
    /// Only this type; with a * at the end, all that begin so. May be repeated.
    #[arg(long = "type", value_name = "TYPE", value_parser = pattern)]
    event_type: Vec<Pattern>,
    /// Not this type; with a * at the end, none that begins so. May be repeated.
    #[arg(long, value_name = "TYPE", value_parser = pattern)]
    except_type: Vec<Pattern>,
    /// Only with this tag; with a * at the end, any that begins so. May be repeated.
    #[arg(long, value_name = "TAG", value_parser = pattern)]
    tag: Vec<Pattern>,
    /// Only events after this position.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// Only events up to this position, which is included.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    up_to: Option<i64>,
    /// How many events at most [default: 50, without end with --follow].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "last")]
    limit: Option<i64>,
    /// The newest events that match.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=100_000))]
    last: Option<i64>,
    /// Go on with events as they are appended, until interrupted. Begins at the end of the log, unless --after or --last is given.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    output: OutputArguments,
}

const DEFAULT_LIMIT: i64 = 50;

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let outcome = tokio::select! {
        outcome = show(&arguments, &opened.store) => outcome,
        // The end that a follower is meant to have.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    opened.close().await?;
    outcome
}

async fn show(arguments: &Arguments, store: &Store) -> anyhow::Result<()> {
    let filter = ReadFilter::from(&arguments.filter());
    let up_to = arguments.up_to.unwrap_or(i64::MAX);
    if arguments.follow {
        return follow(arguments, store, &filter, up_to).await;
    }
    let after = arguments.after.unwrap_or(0);
    let events = match arguments.last {
        Some(last) => {
            store
                .read_last_events(after, up_to, &filter, limited(last))
                .await?
        }
        None => {
            let wanted = arguments.limit.unwrap_or(DEFAULT_LIMIT);
            read_first(store, &filter, after, up_to, wanted).await?
        }
    };
    print_all(&events, arguments.output)?;
    if let (None, None, Some(last)) = (arguments.last, arguments.limit, events.last())
        && events.len() as i64 == DEFAULT_LIMIT
    {
        eprintln!(
            "the first {DEFAULT_LIMIT}; --after {} shows the next ones, --last N the newest",
            last.position
        );
    }
    Ok(())
}

async fn read_first(
    store: &Store,
    filter: &ReadFilter,
    mut after: i64,
    up_to: i64,
    wanted: i64,
) -> anyhow::Result<Vec<RecordedEvent>> {
    let mut events = Vec::new();
    while (events.len() as i64) < wanted && after < up_to {
        let missing = wanted - events.len() as i64;
        let page = store
            .read_events(after, up_to, filter, limited(missing.min(PAGE_EVENTS)))
            .await?;
        after = page.up_to;
        events.extend(page.events);
    }
    Ok(events)
}

async fn follow(
    arguments: &Arguments,
    store: &Store,
    filter: &ReadFilter,
    up_to: i64,
) -> anyhow::Result<()> {
    let mut left = arguments.limit.unwrap_or(i64::MAX);
    let mut after = match (arguments.after, arguments.last) {
        (_, Some(last)) => {
            let head = store.settled_head().await?.min(up_to);
            let events = store
                .read_last_events(arguments.after.unwrap_or(0), head, filter, limited(last))
                .await?;
            print_lines(&events, arguments.output)?;
            head
        }
        (Some(after), None) => after,
        (None, None) => store.settled_head().await?,
    };
    while after < up_to && left > 0 {
        let settled = store.settled_head().await?.min(up_to);
        while after < settled && left > 0 {
            let page = store
                .read_events(after, settled, filter, limited(left.min(PAGE_EVENTS)))
                .await?;
            print_lines(&page.events, arguments.output)?;
            left -= page.events.len() as i64;
            after = page.up_to;
        }
        if after < up_to && left > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

impl Arguments {
    fn filter(&self) -> Filter {
        Filter(vec![Clause {
            types: self.event_type.clone(),
            except_types: self.except_type.clone(),
            streams: self.stream.clone(),
            tags: self.tag.clone(),
        }])
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|bad| bad.to_string())
}

fn limited(events: i64) -> ReadLimit {
    ReadLimit {
        events,
        bytes: PAGE_BYTES,
    }
}

/// A table, or lines of JSON.
fn print_all(events: &[RecordedEvent], output: OutputArguments) -> anyhow::Result<()> {
    if output.json {
        return print_lines(events, output);
    }
    if events.is_empty() {
        return Ok(output::print("no events match")?);
    }
    let mut table = output::table(&[
        "POSITION",
        "RECORDED AT",
        "STREAM",
        "VERSION",
        "TYPE",
        "DATA",
    ]);
    for event in events {
        table.add_row(cells(event)?);
    }
    Ok(output::print(table)?)
}

/// A line for each, for those who read along.
fn print_lines(events: &[RecordedEvent], output: OutputArguments) -> anyhow::Result<()> {
    for event in events {
        match output.json {
            true => output::print(json_line(event)?)?,
            false => output::print(cells(event)?.join("  "))?,
        }
    }
    Ok(())
}

fn cells(event: &RecordedEvent) -> anyhow::Result<[String; 6]> {
    Ok([
        event.position.to_string(),
        recorded_at(event)?,
        text::line(event.stream(), event.stream().len()),
        event.version.to_string(),
        text::line(event.event_type(), event.event_type().len()),
        shortened(&text::line(&on_one_line(event.data()), event.data().len())),
    ])
}

/// An event as programs get it, and as `projectionist import` takes it.
#[derive(Serialize)]
struct JsonEvent<'a> {
    position: i64,
    id: Uuid,
    stream: &'a str,
    version: i64,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: Box<RawValue>,
    metadata: Box<RawValue>,
    causation_id: Option<Uuid>,
    correlation_id: Option<Uuid>,
    tags: &'a [String],
    recorded_at: String,
}

pub(super) fn json_line(event: &RecordedEvent) -> anyhow::Result<String> {
    let json = |text: &str| {
        RawValue::from_string(on_one_line(text)).with_context(|| {
            format!(
                "the event at position {} does not hold JSON",
                event.position
            )
        })
    };
    let line = JsonEvent {
        position: event.position,
        id: event.id,
        stream: event.stream(),
        version: event.version,
        event_type: event.event_type(),
        data: json(event.data())?,
        metadata: json(event.metadata())?,
        causation_id: event.causation_id,
        correlation_id: event.correlation_id,
        tags: &event.tags,
        recorded_at: recorded_at(event)?,
    };
    Ok(serde_json::to_string(&line)?)
}

/// JSON keeps its line breaks in the log, but they are only ever between its parts: in a text they are escaped.
fn on_one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DATA_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn recorded_at(event: &RecordedEvent) -> anyhow::Result<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.recorded_at_micros) * 1_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .with_context(|| {
            format!(
                "the event at position {} was recorded outside of the years 0 to 9999",
                event.position
            )
        })
}
