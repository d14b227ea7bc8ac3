//! The loop of one lane: register for the next hint, step, wait. A worker that is told to stop finishes its batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use subscription::unavailable_delay_ms;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lane::{Lane, Step};
use super::resting::Rest;
use super::shared::Shared;
use crate::store::LaneKey;

/// How long a worker keeps a lane busy before it lets the other host have a go, and no batch takes further chunks after so long then.
pub(super) const SLICE: Duration = Duration::from_millis(250);

/// How long it then steps aside: longer than the other host waits between two looks at a taken lane.
const STEP_ASIDE: Duration = Duration::from_millis(30);

/// Runs a lane until its subscription is gone or the host stops.
pub(super) async fn run(shared: Arc<Shared>, key: LaneKey, stop: CancellationToken) {
    let mut worker = Worker {
        lane: Lane::new(Arc::clone(&shared), key).looking_first(),
        horizon: shared.horizon.clone(),
        changes: shared.changes.subscribe(),
        shared,
        slice_began: None,
        errors_in_a_row: 0,
    };
    while !stop.is_cancelled() {
        // Registered before the look: a hint that comes during the step is seen by the wait after it.
        worker.horizon.mark_unchanged();
        if worker.changes.has_changed().unwrap_or(false) {
            worker.changes.mark_unchanged();
            worker.lane.hear();
        }
        let Some(pause) = worker.step().await else {
            return;
        };
        tokio::select! {
            () = worker.wait(pause) => {}
            () = stop.cancelled() => break,
        }
    }
    worker.lane.finish().await;
}

struct Worker {
    lane: Lane,
    shared: Arc<Shared>,
    horizon: watch::Receiver<Option<i64>>,
    changes: watch::Receiver<u64>,
    slice_began: Option<Instant>,
    errors_in_a_row: u32,
}

/// How long to wait before the next step.
enum Pause {
    None,
    UntilChange,
    UntilHorizon,
    UntilWoken,
    Sleep(Duration),
    SleepOrChange(Duration),
}

impl Worker {
    /// One step and what to wait for after it; `None` when the subscription is gone.
    async fn step(&mut self) -> Option<Pause> {
        let (key, revision) = (self.lane.key().clone(), self.lane.revision());
        let revoked = revoked(Arc::clone(&self.shared), key, revision);
        let stepped = tokio::select! {
            // An operator's word ends the batch: what is dropped is rolled back.
            stepped = self.lane.step() => stepped,
            () = revoked => {
                self.lane.forget();
                return Some(Pause::None);
            }
        };
        match stepped {
            Ok(step) => {
                self.errors_in_a_row = 0;
                self.after(step)
            }
            Err(error) => {
                self.errors_in_a_row = self.errors_in_a_row.saturating_add(1);
                let delay =
                    Duration::from_millis(unavailable_delay_ms(self.errors_in_a_row).max(10));
                let subscription = &self.lane.key().subscription;
                let cause = anyhow::Error::from(error);
                if self.errors_in_a_row <= 1 {
                    tracing::debug!(subscription, "a step failed and is tried again: {cause:#}");
                } else {
                    tracing::warn!(
                        subscription,
                        delay_ms = delay.as_millis() as u64,
                        "a step of {subscription} failed {} times in a row and is tried again: {cause:#}",
                        self.errors_in_a_row
                    );
                }
                self.lane.forget();
                Some(Pause::Sleep(delay))
            }
        }
    }

    fn after(&mut self, step: Step) -> Option<Pause> {
        if step != Step::Worked {
            self.slice_began = None;
        }
        Some(match step {
            Step::Gone => return None,
            Step::Worked => self.share(),
            Step::Idle => match self.lane.rest() {
                Rest::Not => Pause::None,
                Rest::UntilChange => Pause::UntilChange,
                Rest::UntilHorizon => Pause::UntilHorizon,
                Rest::Parked => Pause::UntilWoken,
            },
            Step::Taken { retry_ms } | Step::Again { retry_ms } => {
                Pause::Sleep(Duration::from_millis(retry_ms))
            }
            Step::Wait { retry_ms } => Pause::SleepOrChange(Duration::from_millis(retry_ms)),
        })
    }

    /// After a slice of work, a host that has company steps aside for a moment.
    fn share(&mut self) -> Pause {
        let began = *self.slice_began.get_or_insert_with(Instant::now);
        if began.elapsed() < SLICE || !self.shared.has_company() {
            return Pause::None;
        }
        self.slice_began = None;
        Pause::Sleep(STEP_ASIDE)
    }

    async fn wait(&mut self, pause: Pause) {
        match pause {
            Pause::None => {}
            Pause::Sleep(duration) => tokio::time::sleep(duration).await,
            Pause::UntilChange => {
                let _ = self.changes.changed().await;
                self.lane.hear();
            }
            Pause::UntilHorizon => {
                tokio::select! {
                    _ = self.horizon.changed() => {}
                    _ = self.changes.changed() => self.lane.hear(),
                }
            }
            Pause::UntilWoken => {
                self.lane.get_ready().await;
                tokio::select! {
                    () = self.lane.woken() => {}
                    _ = self.changes.changed() => self.lane.hear(),
                }
                self.lane.unpark();
            }
            Pause::SleepOrChange(duration) => {
                tokio::select! {
                    () = tokio::time::sleep(duration) => {}
                    _ = self.changes.changed() => self.lane.hear(),
                }
            }
        }
    }
}

/// Resolves when an operator took the subscription out of the status in which a batch may run.
async fn revoked(shared: Arc<Shared>, key: LaneKey, mut revision: Option<String>) {
    let mut changes = shared.changes.subscribe();
    let id = &key.subscription;
    loop {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        let hint = *changes.borrow_and_update();
        let now = shared.revision(id, hint).await;
        match now {
            Ok(None) => return,
            Ok(now) if now == revision => continue,
            Ok(now) => revision = now,
            // Out of reach: the batch will find out for itself.
            Err(_) => continue,
        }
        match shared.store.subscription(id).await {
            Ok(None) => return,
            Ok(Some(row)) if row.status.duty() == subscription::Duty::Rest => return,
            Ok(Some(_)) | Err(_) => {}
        }
    }
}
