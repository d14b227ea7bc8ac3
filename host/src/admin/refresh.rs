//! Refresh: takes over what a guest says about itself now and what waits for an operator: its group, a processor's filter, a run
//! mode that is still to begin.

use std::time::Duration;

use subscription::{Criteria, Descriptor, LineVersion, Part, Refresh, RunMode, Start, start};
use tokio::time::Instant;

use super::{Change, Done, Error, selection};
use crate::store::{self, Horizon, Refreshed, Store, Subscription};

/// Races that the verb loses against hosts before it gives up.
const RACES_MAX: u32 = 20;

/// How long it waits for writers whose events may still come below the point from which it is to begin.
const WAIT_FOR_WRITERS: Duration = Duration::from_secs(10);

/// Between two looks at them.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Takes over what the guests of these subscriptions say now, where the rules allow it. No criteria: all of them.
pub async fn refresh(store: &Store, criteria: &Criteria) -> Result<Vec<Change>, Error> {
    let refused = match criteria.ids.is_empty() {
        true => Done::Left,
        false => Done::Refused,
    };
    let mut changes = Vec::new();
    for found in selection::select(store, criteria).await? {
        let (id, before) = (found.id.clone(), found.status);
        let changed = refresh_one(store, found, refused).await;
        changes.push(changed.unwrap_or_else(|error| Change::broken(&id, before, error)));
    }
    Ok(changes)
}

async fn refresh_one(
    store: &Store,
    found: Subscription,
    refused: Done,
) -> Result<Change, store::Error> {
    let (id, before) = (found.id.clone(), found.status);
    let mut current = found;
    for _ in 0..RACES_MAX {
        let status = current.status;
        let Some(said) = store.said().await?.remove(&id) else {
            return Ok(Change::vanished(&id, before));
        };
        let result = subscription::refresh(status, &current.descriptor, &said);
        if result.taken.is_empty() {
            return Ok(untaken(&id, &current, result, refused));
        }
        let start_position = match result.taken.contains(&Part::RunMode) {
            false => None,
            true => match beginning(store, &current, &result.descriptor).await? {
                Ok(position) => Some(position),
                Err(why) => return Ok(Change::not(&id, Done::Failed, before, status, why)),
            },
        };
        let refreshed = Refreshed {
            id: &id,
            module: &current.module,
            status,
            descriptor: &result.descriptor,
            // A later version of a line may have another than its guest says.
            run_mode: match current.run_mode == current.descriptor.run_mode {
                true => result.descriptor.run_mode,
                false => current.run_mode,
            },
            start_position,
        };
        if store.refresh(&refreshed).await? {
            return Ok(taken(&id, &current, &result));
        }
        match store.subscription(&id).await? {
            Some(row) => current = row,
            None => return Ok(Change::vanished(&id, before)),
        }
    }
    let why = format!("it changed {RACES_MAX} times while it was to be refreshed; try again");
    Ok(Change::not(&id, Done::Failed, before, current.status, why))
}

fn taken(id: &str, current: &Subscription, result: &Refresh) -> Change {
    let parts = result.taken.iter().map(|part| part.of(&result.descriptor));
    let parts: Vec<String> = parts.collect();
    let mut reason = format!("{id}: it has {} now", parts.join(" and "));
    if result.taken.contains(&Part::Filter) {
        reason.push_str(", and the filter holds for events that are still to be handled");
    }
    for kept in &result.kept {
        reason.push_str(&format!("; its {} stays: {}", kept.part, kept.why));
    }
    Change {
        reason: Some(reason),
        ..Change::done(id, current.status, Some(current.status))
    }
}

fn untaken(id: &str, current: &Subscription, result: Refresh, refused: Done) -> Change {
    let (result, why) = match result.kept.is_empty() {
        true => (Done::Left, "it is as its guest says".to_owned()),
        false => {
            let whys = result.kept.into_iter().map(|kept| kept.why);
            (refused, whys.collect::<Vec<_>>().join("; "))
        }
    };
    Change::not(id, result, current.status, current.status, why)
}

/// Where a New subscription begins by its new run mode, exclusive.
async fn beginning(
    store: &Store,
    current: &Subscription,
    descriptor: &Descriptor,
) -> Result<Result<i64, String>, store::Error> {
    let rows = store.subscriptions().await?;
    let line = rows.iter().filter(|row| row.line == current.line);
    let versions: Vec<LineVersion> = line
        .map(|row| LineVersion {
            id: row.descriptor.id.clone(),
            kind: row.kind,
            live: false,
            attached: true,
        })
        .collect();
    Ok(match start(descriptor, &versions) {
        Start::As(RunMode::FromBeginning | RunMode::Once) => Ok(0),
        Start::As(RunMode::FromPosition(position)) => Ok(position),
        Start::As(RunMode::FromNow) => return settled(store).await,
        // It goes on after its predecessor, whatever it says itself.
        Start::After(_) | Start::Behind(_) => Ok(current.start_position),
    })
}

/// The highest position below which nothing can still appear.
async fn settled(store: &Store) -> Result<Result<i64, String>, store::Error> {
    let deadline = Instant::now() + WAIT_FOR_WRITERS;
    let mut search = Horizon::new(store.clone());
    loop {
        let look = search.look().await?;
        match look.horizon {
            Some(horizon) if !look.more => return Ok(Ok(horizon)),
            None if Instant::now() >= deadline => {
                let holders: Vec<String> =
                    look.waiting_for.iter().map(ToString::to_string).collect();
                return Ok(Err(format!(
                    "where the log ends cannot be said while {} is open; end it if it is stuck, and try again",
                    holders.join("; ")
                )));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
