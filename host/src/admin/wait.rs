//! Wait: until subscriptions have dealt with everything up to a position, so that whoever wrote can read it.

use std::time::Duration;

use serde::Serialize;
use subscription::{Consistency, Criteria, Resume, Status};
use tokio::time::Instant;

use super::{Error, selection};
use crate::store::{self, Lane, Store, Subscription};

/// Between the first two looks, and the longest pause that the doubling of it comes to.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Position(i64),
    /// The highest position that can be seen when the wait begins.
    Head,
}

/// Who is waited for.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Subscriptions that are not named have to be there, but one that is detached or finished holds nobody up.
    Meant(Criteria),
    /// Guests that say that writers wait for them; there may be none.
    Strong,
}

/// How a wait ended.
#[derive(Clone, Debug, Serialize)]
pub struct WaitReport {
    pub position: i64,
    pub outcome: WaitOutcome,
    pub subscriptions: Vec<Waited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitOutcome {
    Reached,
    TimedOut,
    /// A subscription stands still before the position, so there is nothing to wait for.
    Stopped,
}

/// Where one subscription stood when the wait ended.
#[derive(Clone, Debug, Serialize)]
pub struct Waited {
    pub id: String,
    pub status: String,
    pub position: i64,
    pub reached: bool,
    /// Why it does not come to the position.
    pub stopped: Option<String>,
}

/// Waits until all of them are there, one of them cannot come, or `timeout` has passed.
pub async fn wait(
    store: &Store,
    whom: &Whom,
    goal: Goal,
    timeout: Duration,
) -> Result<WaitReport, Error> {
    let began = Instant::now();
    let first = chosen(store, whom).await?;
    if first.is_empty() && matches!(whom, Whom::Meant(_)) {
        return Err(Error::NobodyToWaitFor);
    }
    let ids: Vec<String> = first.into_iter().map(|row| row.id).collect();
    let position = match goal {
        Goal::Position(position) => position,
        Goal::Head => store.head().await?,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let subscriptions = look(store, &ids, position).await?;
        let outcome = if subscriptions.iter().all(|one| one.reached) {
            Some(WaitOutcome::Reached)
        } else if subscriptions.iter().any(|one| one.stopped.is_some()) {
            Some(WaitOutcome::Stopped)
        } else if began.elapsed() >= timeout {
            Some(WaitOutcome::TimedOut)
        } else {
            None
        };
        if let Some(outcome) = outcome {
            return Ok(WaitReport {
                position,
                outcome,
                subscriptions,
            });
        }
        tokio::time::sleep(pause.min(timeout.saturating_sub(began.elapsed()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The ids of those who would be waited for now.
pub async fn awaited(store: &Store, whom: &Whom) -> Result<Vec<String>, Error> {
    let chosen = chosen(store, whom).await?;
    Ok(chosen.into_iter().map(|row| row.id).collect())
}

/// Those who are waited for, chosen once: who comes later was not meant.
async fn chosen(store: &Store, whom: &Whom) -> Result<Vec<Subscription>, Error> {
    let (criteria, strong) = match whom {
        Whom::Meant(criteria) => (criteria.clone(), false),
        Whom::Strong => (Criteria::default(), true),
    };
    let mut found = selection::select(store, &criteria).await?;
    if criteria.ids.is_empty() {
        found.retain(|row| !matches!(row.status, Status::Detached(_) | Status::Finished));
    }
    if strong {
        // A version that is built beside a live one holds no writer up: nobody reads it yet.
        let lines = store.lines().await?;
        let is_beside = |row: &Subscription| {
            let line = lines.iter().find(|line| line.line == row.line);
            let live = line.and_then(|line| line.live.as_ref());
            live.is_some_and(|live| *live != row.id)
        };
        found.retain(|row| row.descriptor.consistency == Consistency::Strong && !is_beside(row));
    }
    Ok(found)
}

/// Where they stand now. Who was removed meanwhile is not waited for any longer.
async fn look(store: &Store, ids: &[String], goal: i64) -> Result<Vec<Waited>, store::Error> {
    // Positions first: a status that is read after them is not older than they are.
    let lanes = store.lanes(None).await?;
    let rows = store.subscriptions().await?;
    let meant = rows.into_iter().filter(|row| ids.contains(&row.id));
    Ok(meant.map(|row| waited(&row, &lanes, goal)).collect())
}

fn waited(row: &Subscription, lanes: &[Lane], goal: i64) -> Waited {
    let own = || lanes.iter().filter(|lane| lane.key.subscription == row.id);
    let position = own().map(|lane| lane.position).min();
    let position = position.unwrap_or(row.start_position);
    // A New subscription has a checkpoint and no tables yet, so it is behind wherever it begins.
    let is_set_up = row.status != Status::New && row.status.resume() != Some(Resume::New);
    let reached = is_set_up && position >= goal;
    let error = own().find_map(|lane| lane.error.as_ref());
    let reason = match row.status {
        Status::New | Status::Booting | Status::Active => None,
        Status::Error(_) => Some(error.map_or_else(
            || "it is in error".to_owned(),
            |error| format!("it is in error: {}", error.message),
        )),
        Status::Paused(_) => Some("it is paused".to_owned()),
        Status::Detached(_) => {
            Some("it is detached: its file is gone, or a later version replaced it".to_owned())
        }
        Status::Finished => Some("it is finished and reads no further".to_owned()),
    };
    Waited {
        id: row.id.clone(),
        status: row.status.to_string(),
        position,
        reached,
        stopped: reason.filter(|_| !reached),
    }
}
