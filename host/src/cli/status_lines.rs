//! Lines in `status`: which version readers see, how far the next one is, which ones are kept.

use time::OffsetDateTime;

use super::words::{ago, grouped, length};
use crate::admin::lines::{LineStatus, Role, VersionStatus};

/// Characters of a progress bar.
const BAR_CHARS: usize = 10;

/// Those of which there is more to say than that their one version is live.
pub fn worth_showing(line: &LineStatus) -> bool {
    line.versions.len() > 1 || line.wanted.is_some() || line.obstacle.is_some()
}

/// One line with its versions.
pub fn render(line: &LineStatus, now: OffsetDateTime) -> String {
    let wide = line.versions.iter().map(|one| one.id.len()).max();
    let wide = wide.unwrap_or_default();
    let mut lines = vec![line.line.clone()];
    lines.extend(
        line.versions
            .iter()
            .map(|one| format!("  {:<wide$}  {}", one.id, version(line, one, now))),
    );
    if let (Some(obstacle), Some(since)) = (&line.obstacle, line.obstacle_since) {
        lines.push(format!(
            "  not switched for {}: {obstacle}",
            ago(since, now)
        ));
    }
    lines.join("\n")
}

fn version(line: &LineStatus, one: &VersionStatus, now: OffsetDateTime) -> String {
    let since = ago(one.since, now);
    match (one.role, one.on_its_way) {
        (Role::Live, _) => format!("live since {since}"),
        (Role::Kept, _) => format!("kept, {} since {since}", one.status),
        (Role::Next, Some(way)) => {
            let mut text = bar(way.progress);
            if let Some(rate) = way.events_per_second {
                text.push_str(&format!("  {} events a second", grouped(rate as i64)));
            }
            if let Some(seconds) = way.seconds_left {
                let left = i64::try_from(seconds).unwrap_or(i64::MAX);
                text.push_str(&format!(", {} left", length(time::Duration::seconds(left))));
            }
            let asked = match line.wanted.as_deref() {
                Some(wanted) if wanted == one.id => "asked for",
                _ => "being built",
            };
            format!("{asked}, {} since {since}  {text}", one.status)
        }
        (Role::Next | Role::Beside, _) => format!("beside it, {} since {since}", one.status),
    }
}

/// A bar with its percentage.
pub fn bar(progress: f64) -> String {
    let full = (progress * BAR_CHARS as f64).floor() as usize;
    let full = full.min(BAR_CHARS);
    // 100 % is said only when nothing is left.
    let percent = (progress * 100.0).floor();
    format!(
        "{}{} {percent:>3} %",
        "█".repeat(full),
        "░".repeat(BAR_CHARS - full)
    )
}
