//! How the lines stand: which version readers see, and how far the next one is. Part of `status`.
//!
//! The names of the fields are read by programs: they are added to, never changed.

use serde::Serialize;
use subscription::Status;
use time::OffsetDateTime;

use super::status::SubscriptionStatus;
use crate::store::{LineRow, Subscription};

/// One line with its versions.
#[derive(Clone, Debug, Serialize)]
pub struct LineStatus {
    pub line: String,
    pub kind: &'static str,
    /// The version that readers see; of processors the one that works.
    pub live: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub live_since: Option<OffsetDateTime>,
    /// The version that an operator wants to be live.
    pub wanted: Option<String>,
    /// What holds the switch to the next version up.
    pub obstacle: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub obstacle_since: Option<OffsetDateTime>,
    /// From the highest to the lowest.
    pub versions: Vec<VersionStatus>,
}

/// One version of a line.
#[derive(Clone, Debug, Serialize)]
pub struct VersionStatus {
    pub id: String,
    pub version: i64,
    pub role: Role,
    pub status: String,
    pub position: i64,
    /// Since when it has this role, as far as that is known.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// While it is on its way to be live.
    pub on_its_way: Option<OnItsWay>,
}

/// What a version is to its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Live,
    /// Built, or catching up, to be live.
    Next,
    /// At work beside the live one.
    Beside,
    /// Was live, or never came to it: its tables are kept.
    Kept,
}

/// How far a version is that will be live.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OnItsWay {
    /// From 0 to 1, of the way that it has to go.
    pub progress: f64,
    /// Positions, which are events where the log has no holes.
    pub events_per_second: Option<f64>,
    pub seconds_left: Option<u64>,
}

/// The lines that have one of these subscriptions. `all`: every subscription there is, since a line is shown with all its versions.
pub(super) fn lines(
    rows: &[LineRow],
    all: &[Subscription],
    shown: &[SubscriptionStatus],
    position_of: impl Fn(&str) -> i64,
    head: i64,
    now: OffsetDateTime,
) -> Vec<LineStatus> {
    let is_shown = |row: &&LineRow| shown.iter().any(|one| one.line == row.line);
    rows.iter()
        .filter(is_shown)
        .map(|row| {
            let of_line = all.iter().filter(|one| one.line == row.line);
            let mut versions: Vec<VersionStatus> = of_line
                .map(|one| version(row, one, position_of(&one.id), head, now))
                .collect();
            versions.sort_by_key(|one| std::cmp::Reverse(one.version));
            LineStatus {
                line: row.line.clone(),
                kind: row.kind.as_str(),
                live: row.live.clone(),
                live_since: row.live_since,
                wanted: row.wanted.clone(),
                obstacle: row.obstacle.clone(),
                obstacle_since: row.obstacle_since,
                versions,
            }
        })
        .collect()
}

fn version(
    line: &LineRow,
    row: &Subscription,
    position: i64,
    head: i64,
    now: OffsetDateTime,
) -> VersionStatus {
    let role = role(line, row);
    let since = match role {
        Role::Live => line.live_since,
        Role::Kept => row.left_live_at,
        Role::Next if line.wanted.as_deref() == Some(&row.id) => line.wanted_since,
        Role::Next | Role::Beside => None,
    };
    VersionStatus {
        id: row.id.clone(),
        version: row.version,
        role,
        status: row.status.to_string(),
        position,
        since: since.unwrap_or(row.status_since),
        on_its_way: (role == Role::Next).then(|| on_its_way(line, row, position, head, now)),
    }
}

fn role(line: &LineRow, row: &Subscription) -> Role {
    let is_wanted = line.wanted.as_deref() == Some(&row.id);
    if line.live.as_deref() == Some(&row.id) {
        Role::Live
    } else if matches!(row.status, Status::Detached(_)) {
        Role::Kept
    } else if is_wanted || row.muted || row.went_live_at.is_none() {
        Role::Next
    } else {
        Role::Beside
    }
}

fn on_its_way(
    line: &LineRow,
    row: &Subscription,
    position: i64,
    head: i64,
    now: OffsetDateTime,
) -> OnItsWay {
    let (from, since) = match (line.wanted.as_deref(), line.wanted_from, line.wanted_since) {
        (Some(wanted), Some(from), Some(since)) if wanted == row.id => (from, since),
        _ => (row.start_position, row.status_since),
    };
    let (all, done) = (head - from, (position - from).max(0));
    let seconds = (now - since).as_seconds_f64();
    let rate = (done > 0 && seconds > 0.0 && row.status != Status::New && position < head)
        .then(|| done as f64 / seconds);
    OnItsWay {
        progress: match all {
            ..=0 => 1.0,
            all => (done as f64 / all as f64).clamp(0.0, 1.0),
        },
        events_per_second: rate,
        seconds_left: rate.map(|rate| ((head - position).max(0) as f64 / rate).ceil() as u64),
    }
}
