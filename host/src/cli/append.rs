//! `projectionist append`.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::value::RawValue;
use subscription::Criteria;
use uuid::Uuid;

use super::criteria::explain;
use super::database::{self, DatabaseArguments, Opened};
use super::guests::CompilerArguments;
use super::output::{self, Exit, OutputArguments, Refusal};
use super::wait;
use crate::admin::{self, Goal, WaitReport, Whom};
use crate::engine::{Host, Options};
use crate::store::{self, Appended, EventLine, ExpectedVersion, NewEvent, Store, check_stream};

/// Events of one call, all in one transaction, at most. More of them are an import.
const MAX_EVENTS: usize = 10_000;
/// Bytes of standard input at most.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// Append one event from flags, or many from standard input.
///
/// With - as the argument, standard input holds an event a line, as JSON; all of them are appended in one transaction, or none.
///
/// An event whose id its stream already has is not appended again, and its place is printed: a command whose answer was lost can be
/// repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist append --stream account-17 --type AccountOpened --expected-version 0
  projectionist append --stream account-17 --type MoneyDeposited --data '{\"amount\": 50}' --tag vip
  projectionist append --stream account-17 --type MoneyDeposited --data '{\"amount\": 50}' --wait
  projectionist append --stream account-17 --type MoneyDeposited --data '{\"amount\": 50}' --run --for accounts_1
  echo '{\"stream\": \"account-17\", \"type\": \"AccountClosed\"}' | projectionist append -")]
pub struct Arguments {
    /// - reads lines of JSON from standard input.
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true, required_unless_present = "event_type",
          conflicts_with_all = ["event_type", "data", "metadata", "tag", "id", "causation_id", "correlation_id"])]
    input: Option<String>,
    /// The stream, such as account-17. With -, the stream of lines that name none.
    #[arg(long, value_name = "NAME", required_unless_present = "input")]
    stream: Option<String>,
    /// What happened, such as AccountOpened.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The fact itself, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true, value_parser = json)]
    data: Box<RawValue>,
    /// What is known about the fact, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true, value_parser = json)]
    metadata: Box<RawValue>,
    /// A label to filter by. May be repeated.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// The id of the event. Without it the database makes one.
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// The id of the event or command that led to this one.
    #[arg(long, value_name = "UUID")]
    causation_id: Option<Uuid>,
    /// Shared by everything that one request set off.
    #[arg(long, value_name = "UUID")]
    correlation_id: Option<Uuid>,
    /// Append only if the stream is at this version; 0: only if there is no such stream.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    expected_version: Option<i64>,
    /// Come back only when the guests that are marked strong have handled the events. They are appended in any case.
    #[arg(long, group = "then")]
    wait: bool,
    /// The same, and catch these guests up in this process, for when no host runs. What they append in turn is left to others.
    #[arg(long, group = "then")]
    run: bool,
    /// With --wait or --run: this subscription, whether it is marked strong or not, and no other. May be repeated.
    #[arg(long = "for", value_name = "ID", requires = "then")]
    for_id: Vec<String>,
    /// The same with the subscriptions of a group. May be repeated. With --for, both must fit.
    #[arg(long, value_name = "GROUP", requires = "then")]
    for_group: Vec<String>,
    /// How long to wait for them.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = wait::seconds, requires = "then")]
    wait_timeout: f64,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is done once the events are appended.
enum After {
    Nothing,
    Wait {
        whom: Whom,
        seconds: f64,
    },
    Run {
        whom: Whom,
        seconds: f64,
        compiler: CompilerArguments,
    },
}

impl From<&Arguments> for After {
    fn from(arguments: &Arguments) -> After {
        let named = Criteria {
            ids: arguments.for_id.clone(),
            groups: arguments.for_group.clone(),
        };
        let whom = match named.is_everything() {
            true => Whom::Strong,
            false => Whom::Meant(named),
        };
        let seconds = arguments.wait_timeout;
        match (arguments.wait, arguments.run) {
            (_, true) => After::Run {
                whom,
                seconds,
                compiler: arguments.compiler.clone(),
            },
            (true, false) => After::Wait { whom, seconds },
            (false, false) => After::Nothing,
        }
    }
}

/// Events that go to one stream in one call.
struct Call {
    stream: String,
    events: Vec<NewEvent>,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let output = arguments.output;
    let after = After::from(&arguments);
    let expected = match arguments.expected_version {
        None => ExpectedVersion::Any,
        Some(0) => ExpectedVersion::NoStream,
        Some(version) => ExpectedVersion::Exactly(version),
    };
    let calls = match arguments.input {
        Some(_) => read_input(arguments.stream.as_deref()).await?,
        None => vec![from_flags(arguments)?],
    };
    if expected != ExpectedVersion::Any && calls.len() > 1 {
        return Err(refusal(
            "--expected-version is for events of one stream; the lines name several",
            Vec::new(),
        ));
    }

    let opened = database::open(database).await?;
    let outcome = append_on(&opened, &calls, expected, &after, output).await;
    opened.close().await?;
    outcome
}

async fn append_on(
    opened: &Opened,
    calls: &[Call],
    expected: ExpectedVersion,
    after: &After,
    output: OutputArguments,
) -> anyhow::Result<()> {
    let mut host = match after {
        // Before anything is appended: a name that nobody has is a typing mistake.
        After::Nothing => None,
        After::Wait { whom, .. } => {
            admin::awaited(&opened.store, whom).await.map_err(explain)?;
            None
        }
        After::Run { whom, compiler, .. } => {
            admin::awaited(&opened.store, whom).await.map_err(explain)?;
            let options = Options::new(Path::new(""), compiler.beside(opened)?);
            Some(Host::start(opened.store.clone(), options).await?)
        }
    };
    let appended = append_all(&opened.store, calls, expected).await?;
    print(calls, &appended, output)?;
    let (After::Wait { whom, seconds } | After::Run { whom, seconds, .. }) = after else {
        return Ok(());
    };
    let last = appended.iter().map(|event| event.position).max();
    let Some(last) = last else {
        return Ok(());
    };
    let report = see_through(&opened.store, host.as_mut(), whom, last, *seconds).await;
    report
        .and_then(|report| {
            if !report.subscriptions.is_empty() {
                wait::show(&report, output)?;
            }
            wait::judge(&report, *seconds, "--wait-timeout")
        })
        .context("the events are appended, but not everybody who is waited for has handled them")
}

/// Until those who are waited for are as far as the last of these events, by this process if it has a host.
async fn see_through(
    store: &Store,
    host: Option<&mut Host>,
    whom: &Whom,
    last: i64,
    seconds: f64,
) -> anyhow::Result<WaitReport> {
    let (began, timeout) = (Instant::now(), Duration::from_secs_f64(seconds));
    if let Some(host) = host {
        let ids = admin::awaited(store, whom).await.map_err(explain)?;
        host.catch_up_once(&ids, timeout).await?;
    }
    let left = timeout.saturating_sub(began.elapsed());
    let report = admin::wait(store, whom, Goal::Position(last), left).await;
    report.map_err(explain)
}

/// All calls in one transaction.
async fn append_all(
    store: &Store,
    calls: &[Call],
    expected: ExpectedVersion,
) -> anyhow::Result<Vec<Appended>> {
    let mut transaction = store.begin().await.map_err(store::Error::from_statement)?;
    let mut appended = Vec::new();
    for call in calls {
        appended.extend(
            store::append::append(&mut transaction, &call.stream, expected, &call.events).await?,
        );
    }
    transaction
        .commit()
        .await
        .map_err(store::Error::from_statement)?;
    Ok(appended)
}

fn from_flags(arguments: Arguments) -> anyhow::Result<Call> {
    let stream = arguments.stream.expect("required without -");
    let mut event = NewEvent::new(arguments.event_type.expect("required without -"));
    event.id = arguments.id;
    event.data = arguments.data;
    event.metadata = arguments.metadata;
    event.causation_id = arguments.causation_id;
    event.correlation_id = arguments.correlation_id;
    event.tags = arguments.tag;
    match check_stream(&stream).and_then(|()| event.check()) {
        Ok(()) => Ok(Call {
            stream,
            events: vec![event],
        }),
        Err(bad) => Err(refusal("this is not an event", vec![bad.0])),
    }
}

async fn read_input(default_stream: Option<&str>) -> anyhow::Result<Vec<Call>> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(MAX_INPUT_BYTES + 1)
            .read_to_string(&mut text)
            .map(|_| text)
    });
    let text = reading
        .await
        .expect("reading does not panic")
        .context("reading standard input")?;
    if text.len() as u64 > MAX_INPUT_BYTES {
        return Err(too_much(&format!(
            "standard input is longer than {MAX_INPUT_BYTES} bytes"
        )));
    }
    parse(&text, default_stream)
}

/// Neighbours of one stream make one call.
fn parse(text: &str, default_stream: Option<&str>) -> anyhow::Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    let mut bad = Vec::new();
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines {
        let parsed = EventLine::parse(line)
            .map_err(|reason| reason.0)
            .and_then(|line| {
                let stream = line.stream.or(default_stream.map(str::to_owned));
                Ok((
                    stream.ok_or("it names no stream, and there is no --stream")?,
                    line.event,
                ))
            });
        match parsed {
            Err(reason) => bad.push(format!("line {number}: {reason}")),
            Ok((stream, event)) => match calls.last_mut() {
                Some(call) if call.stream == stream => call.events.push(event),
                _ => calls.push(Call {
                    stream,
                    events: vec![event],
                }),
            },
        }
    }
    if !bad.is_empty() {
        let what = format!("{} lines are not events; nothing was appended", bad.len());
        bad.truncate(crate::admin::import::BAD_LINES_TOLD);
        return Err(refusal(&what, bad));
    }
    let events: usize = calls.iter().map(|call| call.events.len()).sum();
    if events > MAX_EVENTS {
        return Err(too_much(&format!(
            "{events} events are more than the {MAX_EVENTS} that one append takes"
        )));
    }
    Ok(calls)
}

fn print(calls: &[Call], appended: &[Appended], output: OutputArguments) -> anyhow::Result<()> {
    let streams = calls.iter().flat_map(|call| {
        call.events
            .iter()
            .map(|event| (&call.stream, &event.event_type))
    });
    if output.json {
        for ((stream, event_type), place) in streams.zip(appended) {
            output::print(serde_json::json!({
                "position": place.position, "id": place.id, "stream": stream, "version": place.version, "type": event_type,
            }))?;
        }
        return Ok(());
    }
    let mut table = output::table(&["POSITION", "STREAM", "VERSION", "TYPE", "ID"]);
    for ((stream, event_type), place) in streams.zip(appended) {
        table.add_row([
            &place.position.to_string(),
            stream,
            &place.version.to_string(),
            event_type,
            &place.id.to_string(),
        ]);
    }
    Ok(output::print(table)?)
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn refusal(what: &str, because: Vec<String>) -> anyhow::Error {
    let hint = Some("projectionist append --help shows what an event looks like".to_owned());
    Refusal {
        what: what.to_owned(),
        because,
        hint,
        exit: Exit::Refused,
    }
    .into()
}

fn too_much(what: &str) -> anyhow::Error {
    let hint = Some("write the lines to a file and use projectionist import FILE".to_owned());
    Refusal {
        what: what.to_owned(),
        because: Vec::new(),
        hint,
        exit: Exit::Refused,
    }
    .into()
}
