//! What a guest that runs once has done, as people read it.

use super::words::{beginning, counted, grouped};
use crate::store::Report;

/// Characters of a guest's log line that are shown.
const LINE_CHARS: usize = 300;

/// `25 events in 1.2 s; it logged 3 lines, the last:` and those lines below it.
pub fn text(report: &Report) -> String {
    let took_s = report.took_ms as f64 / 1_000.0;
    let events = match report.events {
        1 => "1 event".to_owned(),
        events => format!("{} events", grouped(events)),
    };
    let mut text = format!("{events} in {took_s:.1} s");
    if report.log_lines == 0 {
        return text;
    }
    let lines = usize::try_from(report.log_lines).unwrap_or_default();
    let shown = report.last_lines.len();
    let of_them = match lines == shown {
        true => "",
        false => ", the last",
    };
    text.push_str(&format!(
        "; it logged {}{of_them}:",
        counted(lines, "line", "lines")
    ));
    for line in &report.last_lines {
        text.push_str(&format!("\n  {}", beginning(line, 1, LINE_CHARS).join("")));
    }
    text
}
