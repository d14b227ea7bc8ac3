//! The report of `status` as people read it: a table, and below it what does not fit into one.

use comfy_table::{Cell, CellAlignment, Color};
use time::{Duration, OffsetDateTime};

use super::output;
use super::report;
use super::status_lines::{self, bar};
use super::words::{ago, beginning, counted, grouped, length};
use crate::admin::StatusReport;
use crate::admin::status::{ErrorStatus, OpenWriter, RefusedFile, SubscriptionStatus};
use crate::guest::text;

/// Digits of a digest that tell modules apart at a glance.
const DIGEST_CHARS: usize = 8;
/// A writer that is open for less is just at work.
const WRITER_PATIENCE: Duration = Duration::seconds(2);
/// Lines of a backtrace or of a guest's output that are shown; `--json` has all.
const DETAIL_LINES: usize = 12;
/// Characters of one such line that are shown.
const DETAIL_CHARS: usize = 500;

/// The whole text. Without a width, lines are as long as they need to be.
pub fn render(report: &StatusReport, width: Option<u16>) -> String {
    let mut parts = vec![table(report, width)];
    let now = report.taken_at;
    let lines = report
        .lines
        .iter()
        .filter(|it| status_lines::worth_showing(it));
    let lines = lines.map(|line| status_lines::render(line, now));
    parts.extend(section("lines", lines));
    let of = |one: &SubscriptionStatus| Some(error(&one.id, one.error.as_ref()?, now));
    parts.extend(section(
        "errors",
        report.subscriptions.iter().filter_map(of),
    ));
    parts.extend(section(
        "guests say otherwise now",
        report.subscriptions.iter().filter_map(awaits_refresh),
    ));
    let done = report.subscriptions.iter().filter_map(done_once);
    parts.extend(section("run once", done));
    let refused = report.refused_files.iter().map(refused_file);
    parts.extend(section("refused files", refused));
    let writers = report.open_writers.iter().filter_map(|it| writer(it, now));
    parts.extend(section("the log is held up by", writers));
    parts.push(hosts(report));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn table(report: &StatusReport, width: Option<u16>) -> String {
    if report.subscriptions.is_empty() {
        let next = match report.hosts.first() {
            Some(host) => format!("put a module into {}", host.modules),
            None => "start a host with `projectionist run`, and put a module into its directory"
                .to_owned(),
        };
        return format!(
            "there are no subscriptions yet, and the log is at position {}\n{next}; `projectionist check FILE` says whether a file is one",
            grouped(report.head)
        );
    }
    let mut table = output::table(&[
        "subscription",
        "group",
        "status",
        "position / head",
        "behind",
        "module",
        "error",
    ]);
    if let Some(width) = width {
        table.set_width(width);
    }
    for one in &report.subscriptions {
        table.add_row([
            Cell::new(&one.id),
            Cell::new(&one.group),
            status(one),
            Cell::new(place(one, report.head)),
            Cell::new(behind(one)).set_alignment(CellAlignment::Right),
            Cell::new(&one.module[..DIGEST_CHARS.min(one.module.len())]),
            Cell::new(one.error.as_ref().map_or_else(String::new, in_short)),
        ]);
    }
    table.trim_fmt()
}

fn status(one: &SubscriptionStatus) -> Cell {
    let text = match one.resume {
        Some(resume) => format!("{}({resume})", one.status),
        None => one.status.to_owned(),
    };
    let cell = Cell::new(text);
    match one.status {
        "Error" => cell.fg(Color::Red),
        "Active" | "Finished" => cell.fg(Color::Green),
        "Booting" => cell.fg(Color::Cyan),
        "Paused" | "Detached" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// Where it is: a bar while history is read, else the position.
fn place(one: &SubscriptionStatus, head: i64) -> String {
    match one.progress.filter(|_| one.status == "Booting") {
        Some(progress) => bar(progress),
        None => format!("{} / {}", grouped(one.position), grouped(head)),
    }
}

fn behind(one: &SubscriptionStatus) -> String {
    match one.behind.events {
        Some(events) => grouped(events),
        None => format!("~{}", grouped(one.behind.positions)),
    }
}

fn in_short(error: &ErrorStatus) -> String {
    format!("{}, {}", error.class, retry(error))
}

fn retry(error: &ErrorStatus) -> String {
    match error.retry_in_ms {
        None => "stopped".to_owned(),
        Some(..=0) => "retry is due".to_owned(),
        Some(ms) => format!("retry in {}", length(Duration::milliseconds(ms + 999))),
    }
}

/// What a guest did that runs once.
fn done_once(one: &SubscriptionStatus) -> Option<String> {
    let report = one.report.as_ref()?;
    let status = one.status.to_lowercase();
    Some(format!("{}, {status}: {}", one.id, report::text(report)))
}

/// One error, with all that helps to find its cause.
fn error(id: &str, error: &ErrorStatus, now: OffsetDateTime) -> String {
    let at = match (error.position, &error.event_type) {
        (Some(position), Some(event_type)) => {
            let event_type = text::line(event_type, event_type.len());
            format!(" at position {} ({event_type})", grouped(position))
        }
        (Some(position), None) => format!(" at position {}", grouped(position)),
        (None, _) => String::new(),
    };
    let next = match error.retry_at {
        Some(_) => retry(error),
        None => format!(
            "no retry is due: mend the guest and drop it in, or `projectionist reactivate --id {id}`"
        ),
    };
    let mut text = format!(
        "{id}: {}{at}, {}, {} ago; {next}\n  {}",
        error.class,
        counted(
            usize::try_from(error.attempts).unwrap_or_default(),
            "failure",
            "failures"
        ),
        ago(error.failed_at, now),
        indented(&error.message, DETAIL_LINES),
    );
    if let Some(backtrace) = &error.backtrace {
        text.push_str(&format!(
            "\n  backtrace:\n  {}",
            indented(backtrace, DETAIL_LINES)
        ));
    }
    if let Some(output) = &error.output {
        text.push_str(&format!(
            "\n  the guest wrote:\n  {}",
            indented(output, DETAIL_LINES)
        ));
    }
    text
}

fn indented(text: &str, lines_max: usize) -> String {
    beginning(text, lines_max, DETAIL_CHARS).join("\n  ")
}

fn awaits_refresh(one: &SubscriptionStatus) -> Option<String> {
    let parts = &one.awaits_refresh;
    (!parts.is_empty()).then(|| {
        format!(
            "{}: another {}; `projectionist refresh --id {}` takes over what can be",
            one.id,
            parts.join(", another "),
            one.id
        )
    })
}

fn refused_file(refused: &RefusedFile) -> String {
    let place = &refused.place;
    let kept = match &refused.subscription {
        Some(id) => format!("; {id} goes on with its last good module"),
        None => String::new(),
    };
    format!(
        "{} in {} of host {}: {}{kept}",
        place.file, place.modules, place.host, refused.reason
    )
}

/// A transaction that holds every horizon, when it has been open for long enough to be worth a word.
fn writer(writer: &OpenWriter, now: OffsetDateTime) -> Option<String> {
    let since = writer.since?;
    if now - since < WRITER_PATIENCE {
        return None;
    }
    let who = match (writer.pid, &writer.prepared_as) {
        (Some(pid), _) => format!("process {pid}"),
        (None, Some(name)) => format!("the prepared transaction {name}"),
        (None, None) => "a prepared transaction".to_owned(),
    };
    let mut text = format!("{who}, for {}", ago(since, now));
    if let Some(application) = writer
        .application
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        text.push_str(&format!(", application {application}"));
    }
    if let Some(state) = &writer.state {
        text.push_str(&format!(", {state}"));
    }
    if let Some(query) = &writer.query {
        text.push_str(&format!("\n  its last query: {query}"));
    }
    Some(text)
}

fn hosts(report: &StatusReport) -> String {
    if report.hosts.is_empty() && report.subscriptions.is_empty() {
        // How to begin is said already.
        return String::new();
    }
    if report.hosts.is_empty() {
        return "no host is alive, so nothing moves; start one with `projectionist run`".to_owned();
    }
    let hosts = report.hosts.iter().map(|host| {
        let walls = if host.guest_roles {
            ""
        } else {
            "; guests run their SQL with all of its rights (--without-roles)"
        };
        format!(
            "{}, up for {}, modules in {}{walls}",
            host.name,
            ago(host.started_at, report.taken_at),
            host.modules
        )
    });
    section("hosts", hosts).unwrap_or_default()
}

/// A title and what is below it; nothing when nothing is.
fn section(title: &str, items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.map(|item| item.replace('\n', "\n  ")).collect();
    if items.is_empty() {
        return None;
    }
    Some(format!("{title}\n  {}", items.join("\n  ")))
}

#[cfg(test)]
#[path = "status_text_tests.rs"]
mod tests;
