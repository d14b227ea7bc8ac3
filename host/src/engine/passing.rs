//! Checkpoints of lanes for whose guests nothing came are moved for all of them together, a moment later: no transaction of
//! their own, and no commit for each event that somebody else wanted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::store::{LaneKey, PassedLane};

/// How long a checkpoint stays behind at least.
const PAUSE: Duration = Duration::from_millis(50);

/// And this much longer for each lane that waits with it, so that a thousand of them cost no more than twenty.
const PAUSE_PER_LANE: Duration = Duration::from_millis(1);

/// Lanes whose checkpoints are to be moved, or have been.
#[derive(Default)]
pub(super) struct Passing {
    lanes: Mutex<HashMap<LaneKey, PassedLane>>,
    some: Notify,
}

impl Passing {
    /// Nothing that the guest wants lies up to `lane.to`. What is known already of where the checkpoint is counts more than
    /// `lane.from`.
    pub fn add(&self, lane: PassedLane) {
        let mut lanes = self.lock();
        match lanes.get_mut(&lane.key) {
            Some(known) if known.revision == lane.revision => known.to = lane.to,
            _ => drop(lanes.insert(lane.key.clone(), lane)),
        }
        drop(lanes);
        self.some.notify_one();
    }

    /// A batch moves this checkpoint by itself, or nothing is certain any more.
    pub fn withdraw(&self, key: &LaneKey) {
        self.lock().remove(key);
    }

    fn due(&self) -> Vec<PassedLane> {
        self.lock()
            .values()
            .filter(|lane| lane.from < lane.to)
            .cloned()
            .collect()
    }

    fn moved(&self, passed: &[PassedLane], now: &HashMap<LaneKey, i64>) {
        let mut lanes = self.lock();
        for PassedLane { key, from, .. } in passed {
            match (lanes.get_mut(key), now.get(key)) {
                (Some(lane), Some(position)) if lane.from == *from => lane.from = *position,
                // Its subscription has changed: the worker will hear of it.
                (Some(lane), None) if lane.from == *from => drop(lanes.remove(key)),
                _ => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneKey, PassedLane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves checkpoints until `stop`, and then once more: who looks at a stopped host sees where it was.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = shared.passing.some.notified() => {}
            () = stop.cancelled() => {}
        }
        let lanes = u32::try_from(shared.passing.lock().len()).unwrap_or(u32::MAX);
        let pause = PAUSE + PAUSE_PER_LANE.saturating_mul(lanes);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pass(&shared).await;
    }
}

async fn pass(shared: &Shared) {
    let passed = shared.passing.due();
    if passed.is_empty() {
        return;
    }
    match shared.store.pass_lanes(&passed, shared.host).await {
        Ok(now) => {
            shared.passing.moved(&passed, &now.into_iter().collect());
            if !shared.passing.due().is_empty() {
                // Held back, or in a batch just now.
                shared.passing.some.notify_one();
            }
        }
        // The same again when the next event comes.
        Err(error) => {
            let lanes = passed.len();
            tracing::debug!(%error, lanes, "checkpoints of idle lanes could not be moved");
        }
    }
}
