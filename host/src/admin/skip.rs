//! Skip: the failing event of a subscription in error is recorded as skipped, and its checkpoint moves past it. Skipped:
//! what was.

use std::time::Duration;

use serde::Serialize;
use subscription::{Criteria, Input, Next, Status};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Change, Done, Error, selection};
use crate::store::{
    self, Batch, Durability, Grant, Lane, Opening, Outcome, ReadFilter, ReadLimit, RecordedEvent,
    SkippedEvent, Store, Subscription,
};

/// How long the verb waits for a lane: a subscription in error has no batch, so whoever holds it is about to leave.
const LANE_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a lane that is taken.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Skipped events that are listed at most.
pub const LISTED_MAX: i64 = 10_000;

/// The mark of operators in `moved_by`, where a host leaves its id.
pub(super) const OPERATOR: Uuid = Uuid::nil();

/// One skipped event. The names of the fields are read by programs: they are added to, never changed.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedReport {
    pub subscription: String,
    pub position: i64,
    /// The generation of the subscription that skipped it.
    pub generation: i32,
    pub skipped_by: String,
    pub reason: String,
    #[serde(with = "time::serde::rfc3339")]
    pub skipped_at: OffsetDateTime,
    /// When its processor handled it after all.
    #[serde(with = "time::serde::rfc3339::option")]
    pub replayed_at: Option<OffsetDateTime>,
    /// `null`: the log does not hold the event any more.
    pub stream: Option<String>,
    pub event_type: Option<String>,
}

/// A skipped event with all that the log has of it.
#[derive(Clone, Debug)]
pub struct WholeEvent {
    /// Once for each generation that skipped it.
    pub skipped: Vec<SkippedReport>,
    pub event: Option<RecordedEvent>,
}

/// Skips the failing event of each of these subscriptions, which goes on behind it. `reason`: in the operator's words;
/// without it the failure's own are kept.
pub async fn skip(
    store: &Store,
    criteria: &Criteria,
    reason: Option<&str>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for found in selection::select(store, criteria).await? {
        let (id, before) = (found.id.clone(), found.status);
        let skipped = skip_one(store, found, reason).await;
        let mut change = skipped.unwrap_or_else(|error| Change::broken(&id, before, error));
        // Whoever means a group means those of it that are in error.
        if criteria.ids.is_empty() && change.result == Done::Refused {
            change.result = Done::Left;
        }
        changes.push(change);
    }
    Ok(changes)
}

/// What subscriptions skipped, in this generation and in earlier ones.
pub async fn skipped(store: &Store, criteria: &Criteria) -> Result<Vec<SkippedReport>, Error> {
    let found = selection::select(store, criteria).await?;
    let ids: Vec<String> = found.into_iter().map(|found| found.id).collect();
    let rows = store.skipped_events(&ids, None, LISTED_MAX).await?;
    Ok(rows.into_iter().map(SkippedReport::from).collect())
}

/// One skipped event as the log has it. `None`: the subscription did not skip it.
pub async fn skipped_event(
    store: &Store,
    id: &str,
    position: i64,
) -> Result<Option<WholeEvent>, Error> {
    let ids = [id.to_owned()];
    let criteria = Criteria {
        ids: ids.to_vec(),
        groups: Vec::new(),
    };
    selection::select(store, &criteria).await?;
    let rows = store
        .skipped_events(&ids, Some(position), LISTED_MAX)
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(WholeEvent {
        skipped: rows.into_iter().map(SkippedReport::from).collect(),
        event: read_one(store, position - 1, position, &ReadFilter::everything()).await?,
    }))
}

async fn skip_one(
    store: &Store,
    found: Subscription,
    reason: Option<&str>,
) -> Result<Change, store::Error> {
    let (id, before) = (found.id.clone(), found.status);
    let deadline = Instant::now() + LANE_PATIENCE;
    let mut current = found;
    loop {
        match attempt(store, &current, before, reason).await? {
            Attempt::Ended(change) => return Ok(change),
            // Somebody is at the lane, or the status has changed in between.
            Attempt::Again if Instant::now() >= deadline => {
                let why = format!(
                    "its lane is held by somebody else, and was for {} s; try again",
                    LANE_PATIENCE.as_secs()
                );
                return Ok(Change::not(&id, Done::Failed, before, current.status, why));
            }
            Attempt::Again => tokio::time::sleep(LOOK_EVERY).await,
        }
        match store.subscription(&id).await? {
            Some(row) => current = row,
            None => return Ok(Change::vanished(&id, before)),
        }
    }
}

enum Attempt {
    Ended(Change),
    Again,
}

/// One look at the lane. It is locked before its error is read, so that the event is the one that fails now.
async fn attempt(
    store: &Store,
    current: &Subscription,
    before: Status,
    reason: Option<&str>,
) -> Result<Attempt, store::Error> {
    let (id, status) = (&current.id, current.status);
    let refused = |why: String| {
        Ok(Attempt::Ended(Change::not(
            id,
            Done::Refused,
            before,
            status,
            why,
        )))
    };
    let lanes = store.lanes(Some(id)).await?;
    let (Status::Error(_), Some(lane)) = (status, failing(&lanes)) else {
        return refused(nothing_to_skip(status));
    };
    // What reactivating leads to is what skipping leads to: it goes on where it stopped, behind the event.
    let Ok(Next::Status(next)) = status.on(Input::Reactivate, current.run_mode) else {
        return refused(nothing_to_skip(status));
    };
    let opening = Batch::open(store, &lane.key, Grant::Handle, Durability::Durable).await?;
    let Opening::Opened(mut batch) = opening else {
        return Ok(Attempt::Again);
    };
    let state = batch.state().clone();
    let error = lane.error.as_ref();
    let (Some(position), Some(message)) = (state.error_position, error.map(|error| &error.message))
    else {
        batch.rollback().await?;
        return Ok(Attempt::Again);
    };
    if state.status != status || error.and_then(|error| error.position) != Some(position) {
        batch.rollback().await?;
        return Ok(Attempt::Again);
    }
    if let Some(earlier) = unhandled(store, current, state.position, position).await? {
        batch.rollback().await?;
        return refused(format!(
            "event {position} failed, but event {earlier} before it is not handled yet; `projectionist retry --id {id}` handles what comes before"
        ));
    }
    batch
        .record_skipped(position, "operator", reason.unwrap_or(message))
        .await?;
    let change = store::Change::Must(status, next);
    if batch.commit(position, change, OPERATOR).await? != Outcome::Committed {
        return Ok(Attempt::Again);
    }
    let event_type = error.and_then(|error| error.event_type.clone());
    let mut change = Change::done(id, before, Some(next));
    change.reason = Some(format!(
        "{id}: event {position} ({}) is recorded as skipped; `projectionist skipped show --id {id} --position {position}` shows it",
        event_type.unwrap_or_default()
    ));
    Ok(Attempt::Ended(change))
}

/// An event before the failing one that is still to be handled: the checkpoint must not pass it unseen.
async fn unhandled(
    store: &Store,
    current: &Subscription,
    after: i64,
    failing: i64,
) -> Result<Option<i64>, store::Error> {
    let filter = ReadFilter::from(&current.descriptor.filter);
    let first = read_one(store, after, failing, &filter).await?;
    let position = first.map(|event| event.position);
    Ok(position.filter(|position| *position < failing))
}

/// The lane whose failing event is known.
fn failing(lanes: &[Lane]) -> Option<&Lane> {
    lanes
        .iter()
        .find(|lane| lane.error.as_ref().is_some_and(|e| e.position.is_some()))
}

fn nothing_to_skip(status: Status) -> String {
    match status {
        Status::Error(_) => {
            "it is in error, but no event is to blame: `projectionist status` says what is; mend that, then retry".to_owned()
        }
        status => format!(
            "only the failing event of a subscription in error can be skipped, and this one is {status}"
        ),
    }
}

pub(super) async fn read_one(
    store: &Store,
    after: i64,
    up_to: i64,
    filter: &ReadFilter,
) -> Result<Option<RecordedEvent>, store::Error> {
    let limit = ReadLimit {
        events: 1,
        bytes: usize::MAX,
    };
    let page = store.read_events(after, up_to, filter, limit).await?;
    Ok(page.events.into_iter().next())
}

impl From<SkippedEvent> for SkippedReport {
    fn from(row: SkippedEvent) -> SkippedReport {
        SkippedReport {
            subscription: row.subscription,
            position: row.position,
            generation: row.generation,
            skipped_by: row.skipped_by,
            reason: row.reason,
            skipped_at: row.skipped_at,
            replayed_at: row.replayed_at,
            stream: row.stream,
            event_type: row.event_type,
        }
    }
}
