//! Checkpoints of lanes for whose guests nothing came are moved for all of them together, a moment later: no transaction of
//! their own, and no commit for each event that somebody else wanted.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shared::Shared;

/// How long a checkpoint stays behind at least.
const PAUSE: Duration = Duration::from_millis(50);

/// And this much longer for each lane that is moved with it, so that a thousand of them cost no more than twenty.
const PAUSE_PER_LANE: Duration = Duration::from_millis(1);

/// Who was woken and works for so long does not hold up the checkpoints of the others.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Moves checkpoints until `stop`, and then once more: who looks at a stopped host sees where it was.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut stopped = false;
    while !stopped {
        tokio::select! {
            () = shared.parked.behind() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {}
        }
        let lanes = u32::try_from(shared.parked.due().len()).unwrap_or(u32::MAX);
        if lanes == 0 && !stop.is_cancelled() {
            continue;
        }
        let pause = PAUSE + PAUSE_PER_LANE.saturating_mul(lanes);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        stopped = stop.is_cancelled();
        pass(&shared).await;
    }
}

async fn pass(shared: &Shared) {
    let passed = shared.parked.due();
    if passed.is_empty() {
        return;
    }
    match shared.store.pass_lanes(&passed, shared.host).await {
        Ok(now) => {
            shared.parked.moved(&passed, &now.into_iter().collect());
            if !shared.parked.due().is_empty() {
                // Held back, or in a batch just now.
                shared.parked.is_still_behind();
            }
        }
        // The same again when the next event comes.
        Err(error) => {
            let lanes = passed.len();
            tracing::debug!(%error, lanes, "checkpoints of idle lanes could not be moved");
        }
    }
}
