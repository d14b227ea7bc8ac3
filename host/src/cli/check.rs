//! `projectionist check`.

use std::path::PathBuf;

use subscription::{Clause, Descriptor, Filter, Kind, Pattern, RunMode};

use super::criteria::explain;
use super::guests::{CompilerArguments, runtime};
use super::output::{self, Exit, OutputArguments, Refusal};
use super::words::{counted, grouped, size};
use crate::admin::{self, CheckReport, GuestReport};
use crate::guest::Settings;

/// Say whether a host would take a module up, and what it is.
///
/// Does what a host does with a file before it asks the database: compiles it, checks what it imports and exports, and lets it
/// describe itself. The settings beside it (NAME.toml) are checked too. Nothing is stored and no database is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: a host would refuse the file.

Examples:
  projectionist check target/wasm32-wasip2/release/accounts.wasm
  projectionist check modules/accounts.wasm --json | jq .guest.descriptor.id")]
pub struct Arguments {
    /// The module, such as accounts.wasm.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let own = arguments.compiler.alone()?;
    let report = admin::check(&runtime()?, &own.compiler, &arguments.file).await;
    let report = report.map_err(explain)?;
    if arguments.output.json {
        output::print(serde_json::to_string(&report)?)?;
    }
    match (&report.guest, &report.refusal) {
        (Some(guest), _) if !arguments.output.json => output::print(render(&report, guest))?,
        (None, Some(refusal)) => {
            return Err(Refusal {
                what: format!("a host would refuse {}", report.file),
                because: vec![refusal.reason.clone()],
                hint: None,
                exit: Exit::Failed,
            }
            .into());
        }
        _ => {}
    }
    Ok(())
}

/// What a guest is, in plain words.
pub fn render(report: &CheckReport, guest: &GuestReport) -> String {
    let descriptor = &guest.descriptor;
    let lines = [
        ("id", identity(guest)),
        ("group", descriptor.group.clone()),
        ("events", events(&descriptor.filter)),
        ("begins", begins(descriptor.run_mode)),
        ("order", order(descriptor)),
        ("calls", calls(guest)),
        ("settings", settings(guest)),
        ("options", options(guest)),
        ("requests", requests(guest)),
        (
            "interfaces",
            format!(
                "{} imported, {} exported",
                guest.imports.len(),
                guest.exports.len()
            ),
        ),
        ("size", size(report.size_bytes)),
        ("sha256", report.digest.clone().unwrap_or_default()),
        (
            "compiled",
            format!("in {} ms", grouped_u64(guest.compile_ms)),
        ),
    ];
    let mut text = format!(
        "{}: a {} that a host takes up",
        report.file, descriptor.kind
    );
    for (name, value) in lines {
        text.push_str(&format!("\n  {name:<10}  {value}"));
    }
    text
}

fn identity(guest: &GuestReport) -> String {
    let id = &guest.descriptor.id;
    match (guest.descriptor.kind, guest.version) {
        (_, 0) => format!("{id}, without a version"),
        (Kind::Projector, version) => format!(
            "{id}: version {version} of the line {}; its tables are in the schema {id}",
            guest.line
        ),
        (Kind::Processor, version) => format!("{id}: version {version} of the line {}", guest.line),
    }
}

fn events(filter: &Filter) -> String {
    if filter.is_everything() {
        return "all".to_owned();
    }
    let clauses: Vec<String> = filter.0.iter().map(clause).collect();
    clauses.join("; or ")
}

fn clause(clause: &Clause) -> String {
    let listed = |patterns: &[Pattern]| {
        let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let parts = [
        ("of type ", &clause.types),
        ("not of type ", &clause.except_types),
        ("in stream ", &clause.streams),
        ("with tag ", &clause.tags),
    ];
    let said = parts.iter().filter(|(_, patterns)| !patterns.is_empty());
    let said: Vec<String> = said
        .map(|(words, patterns)| format!("{words}{}", listed(patterns)))
        .collect();
    said.join(" and ")
}

fn begins(mode: RunMode) -> String {
    match mode {
        RunMode::FromBeginning => "at the beginning of the log".to_owned(),
        RunMode::FromNow => "with what is appended after it was registered".to_owned(),
        RunMode::Once => "at the beginning of the log, and ends when it has caught up".to_owned(),
        RunMode::FromPosition(position) => format!("after position {}", grouped(position)),
    }
}

fn order(descriptor: &Descriptor) -> String {
    let kept = match descriptor.partition_by.as_str() {
        "none" => "all events in order".to_owned(),
        "any" => "events in any order".to_owned(),
        key => format!("events with the same {key} in order"),
    };
    let lanes = usize::try_from(descriptor.lanes).unwrap_or(usize::MAX);
    format!("{kept}, {}", counted(lanes, "lane", "lanes"))
}

fn calls(guest: &GuestReport) -> String {
    let events = usize::try_from(guest.chunk_events).unwrap_or(usize::MAX);
    let limits = guest.settings.limits;
    format!(
        "up to {} in one, {} ms and {} MiB of memory at most",
        counted(events, "event", "events"),
        grouped_u64(limits.handle_timeout_ms),
        grouped_u64(limits.memory_mib)
    )
}

fn settings(guest: &GuestReport) -> String {
    let Some(file) = &guest.settings_file else {
        return "none beside it".to_owned();
    };
    let Settings { settings, .. } = &guest.settings;
    let names: Vec<&str> = settings.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => format!("{file}, with nothing for the guest to read"),
        names => format!("{file}, with {} for the guest to read", names.join(", ")),
    }
}

fn options(guest: &GuestReport) -> String {
    let options = &guest.descriptor.options;
    if options.is_empty() {
        return "none".to_owned();
    }
    let said: Vec<String> = options
        .iter()
        .map(|(key, value)| {
            let unknown = guest.unknown_options.contains(key);
            let note = if unknown {
                " (not known to this host, no effect)"
            } else {
                ""
            };
            format!("{key} = {value}{note}")
        })
        .collect();
    said.join(", ")
}

/// Where it may send HTTP requests.
fn requests(guest: &GuestReport) -> String {
    if !guest.sends_requests {
        return "sends none".to_owned();
    }
    let http = guest.settings.http.clone().unwrap_or_default();
    let allowed: Vec<String> = http.allow.iter().map(ToString::to_string).collect();
    if allowed.is_empty() {
        return "asks to send some, and may reach nothing".to_owned();
    }
    let secrets: usize = http.secrets.values().map(|headers| headers.len()).sum();
    let secrets = match secrets {
        0 => String::new(),
        many => format!(
            ", with {} placed by the host",
            counted(many, "secret", "secrets")
        ),
    };
    format!("sends some, to {}{secrets}", allowed.join(", "))
}

fn grouped_u64(number: u64) -> String {
    grouped(i64::try_from(number).unwrap_or(i64::MAX))
}
