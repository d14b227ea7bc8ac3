//! How everything stands: subscriptions, files that were refused, hosts. Data for `status`, and for whoever else shows it.
//!
//! The names of the fields are read by programs: they are added to, never changed.

use std::collections::HashMap;

use serde::Serialize;
use subscription::{Criteria, Part, Status, outdated};
use time::OffsetDateTime;
use uuid::Uuid;

use super::lines::{self, LineStatus};
use super::{Error, selection};
use crate::store::{
    Holder, HostFile, HostRow, Lane, LaneError, Report, Store, Subscription, Walls,
};

/// Events up to which the distance to the head is counted; beyond them it is told in positions.
const COUNTED_EVENTS_MAX: i64 = 10_000;

/// How everything stands at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// By the server's clock, as all times here.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
    /// The highest position that can be seen; 0 in an empty log.
    pub head: i64,
    pub subscriptions: Vec<SubscriptionStatus>,
    /// The lines of these subscriptions, with all their versions.
    pub lines: Vec<LineStatus>,
    pub refused_files: Vec<RefusedFile>,
    /// Hosts that are alive.
    pub hosts: Vec<HostStatus>,
    /// Transactions that took a position and have not ended: what they may add holds every horizon.
    pub open_writers: Vec<OpenWriter>,
}

/// How one subscription stands.
#[derive(Clone, Debug, Serialize)]
pub struct SubscriptionStatus {
    pub id: String,
    pub line: String,
    pub version: i64,
    pub kind: &'static str,
    pub group: String,
    pub run_mode: &'static str,
    /// Without the place where it goes on: `Paused`.
    pub status: &'static str,
    /// Where a stopped subscription goes on: `Booting`.
    pub resume: Option<&'static str>,
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Everything up to here is dealt with: the checkpoint of the lane that is furthest behind.
    pub position: i64,
    pub lanes: Vec<LaneStatus>,
    pub behind: Behind,
    /// From 0 to 1, while it boots or would boot on.
    pub progress: Option<f64>,
    /// SHA-256 of the module's bytes, in hexadecimal.
    pub module: String,
    /// When a checkpoint last moved.
    #[serde(with = "time::serde::rfc3339::option")]
    pub moved_at: Option<OffsetDateTime>,
    /// The worst error of its lanes.
    pub error: Option<ErrorStatus>,
    /// What its guest says otherwise than is stored, until a `refresh`: `group`, `filter`, `run-mode`.
    pub awaits_refresh: Vec<&'static str>,
    /// The files that hold it, on hosts that are alive.
    pub files: Vec<FilePlace>,
    /// What it has done so far, when it runs once.
    pub report: Option<Report>,
}

/// The distance to the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    pub positions: i64,
    /// `null` when there are too many to count in passing.
    pub events: Option<i64>,
}

/// Where one lane stands.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    pub lane: i32,
    pub position: i64,
}

/// What holds a lane up, or held it up until the retry that is under way.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorStatus {
    pub lane: i32,
    pub class: &'static str,
    pub message: String,
    /// The failing event, when one event is known to be it.
    pub position: Option<i64>,
    pub event_type: Option<String>,
    /// SHA-256 of the module that failed, in hexadecimal.
    pub module: String,
    pub attempts: i32,
    #[serde(with = "time::serde::rfc3339")]
    pub failed_at: OffsetDateTime,
    /// `null`: no retry is due, an operator must act.
    #[serde(with = "time::serde::rfc3339::option")]
    pub retry_at: Option<OffsetDateTime>,
    pub retry_in_ms: Option<i64>,
    pub backtrace: Option<String>,
    /// What the guest wrote to its standard output and error.
    pub output: Option<String>,
}

/// A file in the directory of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilePlace {
    pub file: String,
    /// The host's name.
    pub host: String,
    /// The host's directory.
    pub modules: String,
}

/// A file that was not taken up.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedFile {
    #[serde(flatten)]
    pub place: FilePlace,
    /// The subscription that the file holds, or held when it was last good.
    pub subscription: Option<String>,
    pub reason: String,
}

/// A host that is alive.
#[derive(Clone, Debug, Serialize)]
pub struct HostStatus {
    pub id: Uuid,
    pub name: String,
    pub modules: String,
    /// False: it was told to run the SQL of guests with its own rights.
    pub guest_roles: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub seen_at: OffsetDateTime,
}

/// A transaction that took a position and has not ended.
#[derive(Clone, Debug, Serialize)]
pub struct OpenWriter {
    /// `null`: a prepared transaction, which no process stands behind.
    pub pid: Option<i32>,
    pub application: Option<String>,
    pub state: Option<String>,
    /// The beginning of its last query.
    pub query: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// The name of a prepared transaction.
    pub prepared_as: Option<String>,
}

/// Looks at everything. Hosts and refused files are told whatever the criteria, since a refused file has no id.
pub async fn status(store: &Store, criteria: &Criteria) -> Result<StatusReport, Error> {
    let found = selection::select(store, criteria).await?;
    let mut lanes: HashMap<String, Vec<Lane>> = HashMap::new();
    for lane in store.lanes(None).await? {
        let of = lanes.entry(lane.key.subscription.clone()).or_default();
        of.push(lane);
    }
    // After the checkpoints: none of them is ahead of it.
    let head = store.head().await?;
    let mut said = store.said().await?;
    let hosts = store.hosts().await?;
    let (refused_files, mut files) = sort_files(store.host_files().await?, &hosts);
    let all = store.subscriptions().await?;
    let positions: HashMap<String, i64> = lanes
        .iter()
        .map(|(id, lanes)| {
            let least = lanes.iter().map(|lane| lane.position).min();
            (id.clone(), least.unwrap_or_default())
        })
        .collect();
    let reports = store.reports(None).await?.into_iter();
    let mut reports: HashMap<String, Report> = reports
        .map(|report| (report.subscription.clone(), report))
        .collect();
    let mut subscriptions = Vec::with_capacity(found.len());
    for subscription in found {
        let lanes = lanes.remove(&subscription.id).unwrap_or_default();
        let files = files.remove(&subscription.id).unwrap_or_default();
        let subscription_id = subscription.id.clone();
        let said = said.remove(&subscription.id);
        let awaits = said.map_or_else(Vec::new, |said| outdated(&subscription.descriptor, &said));
        let mut shown = one(store, subscription, &lanes, head, files).await?;
        shown.awaits_refresh = awaits.into_iter().map(Part::as_str).collect();
        shown.report = reports.remove(&subscription_id);
        subscriptions.push(shown);
    }
    let taken_at = store.clock().await?;
    let position_of = |id: &str| positions.get(id).copied().unwrap_or_default();
    let rows = store.lines().await?;
    let lines = lines::lines(&rows, &all, &subscriptions, position_of, head, taken_at);
    Ok(StatusReport {
        taken_at,
        head,
        subscriptions,
        lines,
        refused_files,
        hosts: hosts.into_iter().map(HostStatus::from).collect(),
        open_writers: store
            .holders()
            .await?
            .into_iter()
            .map(OpenWriter::from)
            .collect(),
    })
}

async fn one(
    store: &Store,
    subscription: Subscription,
    lanes: &[Lane],
    head: i64,
    files: Vec<FilePlace>,
) -> Result<SubscriptionStatus, Error> {
    let position = lanes.iter().map(|lane| lane.position).min();
    let position = position.unwrap_or(subscription.start_position);
    let status = subscription.status;
    let limit = COUNTED_EVENTS_MAX + 1;
    let events = store.count_events(position, head, limit).await?;
    Ok(SubscriptionStatus {
        kind: subscription.kind.as_str(),
        run_mode: subscription.run_mode.name(),
        status: status.name(),
        resume: status.resume().map(|resume| resume.name()),
        since: subscription.status_since,
        position,
        lanes: lanes.iter().map(LaneStatus::from).collect(),
        behind: Behind {
            positions: (head - position).max(0),
            events: (events <= COUNTED_EVENTS_MAX).then_some(events),
        },
        progress: progress(&subscription, position, head),
        module: hex::encode(subscription.module),
        moved_at: lanes.iter().map(|lane| lane.moved_at).max(),
        error: worst(lanes),
        awaits_refresh: Vec::new(),
        files,
        report: None,
        id: subscription.id,
        line: subscription.line,
        version: subscription.version,
        group: subscription.group,
    })
}

/// How much of its history is behind it.
fn progress(subscription: &Subscription, position: i64, head: i64) -> Option<f64> {
    let booting = Status::Booting;
    let is_booting = subscription.status == booting
        || subscription.status.resume().map(Status::from) == Some(booting);
    let target = subscription.boot_until.unwrap_or(head);
    let all = target - subscription.start_position;
    let done = position - subscription.start_position;
    match (is_booting, all) {
        (false, _) => None,
        (true, ..=0) => Some(1.0),
        (true, all) => Some((done as f64 / all as f64).clamp(0.0, 1.0)),
    }
}

/// One that waits for an operator before one that is retried; then the latest.
fn worst(lanes: &[Lane]) -> Option<ErrorStatus> {
    let failed = lanes
        .iter()
        .filter_map(|lane| Some((lane.key.lane, lane.error.as_ref()?)));
    let (lane, error) =
        failed.max_by_key(|(_, error)| (error.retry_at.is_none(), error.failed_at))?;
    Some(ErrorStatus::new(lane, error))
}

/// Refused files, and the files of each subscription. A file that is refused now may still hold what was good before.
fn sort_files(
    files: Vec<(Uuid, HostFile)>,
    hosts: &[HostRow],
) -> (Vec<RefusedFile>, HashMap<String, Vec<FilePlace>>) {
    let mut refused = Vec::new();
    let mut held: HashMap<String, Vec<FilePlace>> = HashMap::new();
    for (host, file) in files {
        let Some(host) = hosts.iter().find(|row| row.id == host) else {
            continue;
        };
        let place = FilePlace {
            file: file.file,
            host: host.name.clone(),
            modules: host.modules.clone(),
        };
        if let Some(id) = &file.subscription {
            held.entry(id.clone()).or_default().push(place.clone());
        }
        if let Some(reason) = file.refusal {
            refused.push(RefusedFile {
                place,
                subscription: file.subscription,
                reason,
            });
        }
    }
    (refused, held)
}

/// The files that hold each subscription, on hosts that are alive.
pub(super) async fn held_files(store: &Store) -> Result<HashMap<String, Vec<FilePlace>>, Error> {
    let hosts = store.hosts().await?;
    Ok(sort_files(store.host_files().await?, &hosts).1)
}

impl ErrorStatus {
    fn new(lane: i32, error: &LaneError) -> ErrorStatus {
        ErrorStatus {
            lane,
            class: error.class.as_str(),
            message: error.message.clone(),
            position: error.position,
            event_type: error.event_type.clone(),
            module: hex::encode(error.module),
            attempts: error.attempts,
            failed_at: error.failed_at,
            retry_at: error.retry_at,
            retry_in_ms: error.retry_in_ms,
            backtrace: error.backtrace.clone(),
            output: error.output.clone(),
        }
    }
}

impl From<&Lane> for LaneStatus {
    fn from(lane: &Lane) -> LaneStatus {
        LaneStatus {
            lane: lane.key.lane,
            position: lane.position,
        }
    }
}

impl From<Holder> for OpenWriter {
    fn from(holder: Holder) -> OpenWriter {
        OpenWriter {
            query: holder.shown_query(),
            pid: holder.pid,
            application: holder.application,
            state: holder.state,
            since: holder.since,
            prepared_as: holder.gid,
        }
    }
}

impl From<HostRow> for HostStatus {
    fn from(host: HostRow) -> HostStatus {
        HostStatus {
            id: host.id,
            name: host.name,
            modules: host.modules,
            guest_roles: host.walls == Walls::Roles,
            started_at: host.started_at,
            seen_at: host.seen_at,
        }
    }
}
