//! One lane of a subscription, one step at a time: what its status asks for, done once. The loop, `run --once` and
//! tests take the same steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use subscription::{
    After, Clue, Duty, ErrorClass, Input, Isolation, Next, RetryPolicy, RunMode, Status, Verdict,
    failed, unavailable_delay_ms,
};

use super::ahead::Ahead;
use super::batch::{self, FailedBatch, Portion};
use super::carried::Carried;
use super::notice::Notice;
use super::setup;
use super::shared::Shared;
use super::tail::{Seat, TAIL_EVENTS};
use crate::guest::{Failure, Settings};
use crate::store::{
    Batch, Change, Durability, Error, Grant, LaneKey, NewLaneError, Opening, Outcome, PassedLane,
    ReadFilter, Subscription,
};

/// A lane that somebody else holds is looked at again after so long.
const TAKEN_DELAY_MS: u64 = 10;

/// How long a version that is held back waits for the one that goes before it.
const HELD_BACK_DELAY_MS: u64 = 5;

/// What a step came to, and when the next one makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done; there may be more at once.
    Worked,
    /// Nothing to do until a hint comes.
    Idle,
    /// Somebody else works on this lane.
    Taken { retry_ms: u64 },
    /// Nothing to do before so many milliseconds have passed, or a hint comes.
    Wait { retry_ms: u64 },
    /// The subscription is no more.
    Gone,
}

/// A lane as its worker knows it. All of it can be lost: the rows know better.
pub(super) struct Lane {
    shared: Arc<Shared>,
    key: LaneKey,
    known: Option<Subscription>,
    /// Which row `position` goes with.
    revision: Option<String>,
    /// Where the last batch of this worker ended, or up to where nothing came since that its guest wants.
    position: Option<i64>,
    /// Where the checkpoint was after the last batch.
    checkpoint: i64,
    /// Held while it follows the head.
    seat: Option<Seat>,
    isolation: Option<Isolation>,
    /// What the last batch left for the next.
    carried: Carried,
    /// The failure whose event is found once what precedes it is committed.
    blamed: Option<Blame>,
    unavailable_in_a_row: u32,
    /// Events that guests were handed in batches that were committed.
    handled: usize,
    /// Events that may still be handled, for an operator who wants no more.
    left: Option<u32>,
}

struct Blame {
    failure: Box<Failure>,
    position: i64,
    event_type: String,
}

impl Lane {
    pub fn new(shared: Arc<Shared>, key: LaneKey) -> Lane {
        Lane {
            shared,
            key,
            known: None,
            revision: None,
            position: None,
            checkpoint: 0,
            seat: None,
            isolation: None,
            carried: Carried::default(),
            blamed: None,
            unavailable_in_a_row: 0,
            handled: 0,
            left: None,
        }
    }

    /// Handles no more than so many events.
    pub fn at_most(self, events: Option<u32>) -> Lane {
        Lane {
            left: events,
            ..self
        }
    }

    /// How many events were handled.
    pub fn handled(&self) -> usize {
        self.handled
    }

    /// How many more may be; `None`: as many as there are.
    pub fn left(&self) -> Option<u32> {
        self.left
    }

    pub fn key(&self) -> &LaneKey {
        &self.key
    }

    /// The row may have changed: read it again at the next step.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// Does what the status asks for, once.
    pub async fn step(&mut self) -> Result<Step, Error> {
        if self.known.is_none() {
            self.known = self
                .shared
                .store
                .subscription(&self.key.subscription)
                .await?;
            let revision = self.known.as_ref().map(|known| known.revision.clone());
            if self.revision != revision {
                // What the guest wants may be something else now, and what was passed for it may not be.
                self.position = None;
                self.revision = revision;
            }
        }
        let Some(known) = self.known.clone() else {
            return Ok(Step::Gone);
        };
        match known.status.duty() {
            Duty::Rest => Ok(Step::Idle),
            Duty::AwaitRetry => self.await_retry(&known).await,
            Duty::SetUp => self.set_up(&known, Input::SetUp).await,
            Duty::Process => self.process(&known).await,
        }
    }

    async fn await_retry(&mut self, known: &Subscription) -> Result<Step, Error> {
        let lanes = self.shared.store.lanes(Some(&known.id)).await?;
        let due = lanes
            .iter()
            .filter(|lane| lane.key == self.key)
            .filter_map(|lane| lane.error.as_ref())
            .find_map(|error| error.retry_in_ms);
        let Some(due_ms) = due else {
            return Ok(Step::Idle);
        };
        let left_ms = due_ms.saturating_sub(self.shared.clock_ahead_ms.load(Ordering::Relaxed));
        if left_ms > 0 {
            return Ok(Step::Wait {
                retry_ms: left_ms.unsigned_abs(),
            });
        }
        self.change(known, Input::RetryDue).await?;
        Ok(Step::Worked)
    }

    /// Sets a New subscription up, with the input that says where it goes from there.
    pub async fn set_up(&mut self, known: &Subscription, input: Input) -> Result<Step, Error> {
        let done = {
            let _permit = self.shared.permits.acquire().await;
            self.carried.forget();
            setup::run(&self.shared, known, &self.key, input).await?
        };
        match done {
            setup::Done::SetUp { status } => {
                self.settled(status);
                Ok(Step::Worked)
            }
            setup::Done::Taken => {
                self.forget();
                Ok(Step::Taken {
                    retry_ms: TAKEN_DELAY_MS,
                })
            }
            setup::Done::Stale => {
                self.forget();
                Ok(Step::Worked)
            }
            setup::Done::Failed(failed) => {
                let FailedBatch { failure, state, .. } = *failed;
                let blame = Blame {
                    failure,
                    position: 0,
                    event_type: String::new(),
                };
                self.judge(known, blame, state.attempts.unsigned_abs(), false)
                    .await
            }
        }
    }

    async fn process(&mut self, known: &Subscription) -> Result<Step, Error> {
        let Some(horizon) = *self.shared.horizon.borrow() else {
            return Ok(Step::Idle);
        };
        if known.status == Status::Active
            && self.position.is_some_and(|position| position >= horizon)
        {
            return Ok(Step::Idle);
        }
        if self.left == Some(0) || self.passes(known, horizon) {
            return Ok(Step::Idle);
        }
        let searched = self.isolation.and_then(Isolation::events);
        let portion = Portion {
            horizon,
            events_max: searched.into_iter().chain(self.left).min(),
        };
        let began = Instant::now();
        let done = {
            let _permit = self.shared.permits.acquire().await;
            batch::run(&self.shared, known, &self.key, portion, &mut self.carried).await?
        };
        match done {
            batch::Done::Committed {
                events,
                position,
                status,
            } => {
                self.count(events);
                self.shared.notify(Notice::Committed {
                    subscription: known.id.clone(),
                    events,
                    position,
                    horizon,
                    took: began.elapsed(),
                    booting: known.status == Status::Booting,
                });
                self.committed(known, position, status).await
            }
            batch::Done::Taken => {
                self.stop_search();
                self.position = None;
                Ok(Step::Taken {
                    retry_ms: TAKEN_DELAY_MS,
                })
            }
            batch::Done::Stale => Ok(self.lost()),
            batch::Done::CaughtUp { position } => {
                self.stands_at(position);
                Ok(Step::Idle)
            }
            batch::Done::HeldBack => {
                self.position = None;
                Ok(Step::Wait {
                    retry_ms: HELD_BACK_DELAY_MS,
                })
            }
            batch::Done::Failed(failed) => self.failed(known, *failed).await,
        }
    }

    /// At the head the newest events are at hand: whether there is nothing for the guest among them. Then no batch is opened,
    /// and the checkpoint follows later.
    fn passes(&mut self, known: &Subscription, horizon: i64) -> bool {
        let follows = known.status == Status::Active
            && known.run_mode != RunMode::Once
            && !known.muted
            && self.isolation.is_none()
            && self.left.is_none();
        if !follows {
            self.seat = None;
            return false;
        }
        let tail = &self.shared.tail;
        self.seat.get_or_insert_with(|| tail.take_seat());
        let filter = &known.descriptor.filter;
        let page = self.position.and_then(|position| {
            Some((position, tail.page(position, horizon, filter, TAIL_EVENTS)?))
        });
        match page {
            None => false,
            Some((_, page)) if page.events.is_empty() => {
                self.position = Some(horizon);
                self.carried.passed_to = horizon;
                self.shared.passing.add(PassedLane {
                    key: self.key.clone(),
                    from: self.checkpoint,
                    to: horizon,
                    revision: known.revision.clone(),
                });
                true
            }
            Some((position, page)) => {
                self.shared.passing.withdraw(&self.key);
                let filter = ReadFilter::from(filter);
                self.carried.ahead = Some(Ahead::of(filter, self.checkpoint, position, page));
                false
            }
        }
    }

    fn stands_at(&mut self, checkpoint: i64) {
        self.position = Some(checkpoint);
        self.checkpoint = checkpoint;
        self.carried.passed_to = checkpoint;
    }

    fn count(&mut self, events: usize) {
        self.handled += events;
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.left = self.left.map(|left| left.saturating_sub(events));
    }

    async fn committed(
        &mut self,
        known: &Subscription,
        position: i64,
        status: Status,
    ) -> Result<Step, Error> {
        self.unavailable_in_a_row = 0;
        self.stands_at(position);
        if status != known.status {
            self.settled(status);
        }
        self.isolation = self.isolation.and_then(Isolation::committed);
        match (self.isolation, self.blamed.take()) {
            (Some(Isolation::Culprit), Some(blame)) if blame.position > position => {
                self.isolation = None;
                self.judge(known, blame, 0, true).await
            }
            (_, blame) => {
                self.blamed = blame.filter(|_| self.isolation.is_some());
                Ok(Step::Worked)
            }
        }
    }

    /// Looks for the one event that is to blame; what precedes it is committed first.
    async fn failed(&mut self, known: &Subscription, failed: FailedBatch) -> Result<Step, Error> {
        let FailedBatch {
            failure,
            state,
            events,
            before_chunk,
        } = failed;
        if failure.class == ErrorClass::Unavailable {
            return Ok(self.unavailable(&failure));
        }
        if failure.class == ErrorClass::Incompatible {
            let blame = Blame {
                failure,
                position: 0,
                event_type: String::new(),
            };
            return self
                .judge(known, blame, state.attempts.unsigned_abs(), false)
                .await;
        }
        let ran = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let clue = failure.handled.map_or(Clue::Unknown, |handled| {
            Clue::Handled(before_chunk.saturating_add(handled))
        });
        let step = match self.isolation {
            None => Isolation::begin(known.kind, ran, clue),
            Some(step) => step.failed(clue),
        };
        let at = match step {
            Isolation::Culprit => 0,
            Isolation::Before { events } => events as usize,
            Isolation::Among { .. } => usize::MAX,
        };
        let blame = events.get(at).map(|(position, event_type)| Blame {
            failure,
            position: *position,
            event_type: event_type.clone(),
        });
        match (step, blame) {
            (Isolation::Culprit, Some(blame)) => {
                self.isolation = None;
                let known_failures = if state.error_position == Some(blame.position) {
                    state.attempts.unsigned_abs()
                } else {
                    0
                };
                self.judge(known, blame, known_failures, true).await
            }
            (step, blame) => {
                self.isolation = Some(step);
                self.blamed = blame;
                Ok(Step::Worked)
            }
        }
    }

    /// Applies the verdict to the event that is to blame, or to a setup.
    async fn judge(
        &mut self,
        known: &Subscription,
        blame: Blame,
        failures: u32,
        has_event: bool,
    ) -> Result<Step, Error> {
        if blame.failure.class == ErrorClass::Unavailable {
            return Ok(self.unavailable(&blame.failure));
        }
        let verdict = blame
            .failure
            .verdict
            .unwrap_or(Verdict::Retry { after_ms: 0 });
        let outcome = failed(failures, self.policy(known), verdict, blame.failure.class);
        let retry_after_ms = match outcome.after {
            After::Unchanged => return Ok(self.unavailable(&blame.failure)),
            After::Skip if has_event => return self.skip(known, &blame).await,
            After::Retry { after_ms } => Some(after_ms),
            After::Exhausted | After::Stop | After::Skip => None,
        };
        self.record(known, &blame, outcome.attempts, retry_after_ms, has_event)
            .await
    }

    async fn record(
        &mut self,
        known: &Subscription,
        blame: &Blame,
        attempts: u32,
        retry_after_ms: Option<u64>,
        has_event: bool,
    ) -> Result<Step, Error> {
        let Ok(Next::Status(next)) = known.status.on(Input::Failed, known.run_mode) else {
            return Ok(self.lost());
        };
        let failure = &blame.failure;
        let error = NewLaneError {
            class: failure.class,
            message: failure.message.clone(),
            position: has_event.then_some(blame.position),
            event_type: has_event.then(|| blame.event_type.clone()),
            module: known.module,
            backtrace: failure.backtrace.clone(),
            output: failure.output.clone(),
            attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            retry_context: failure.retry_context.clone(),
            // On the clock that tests move, the failure is as far ahead as the clock.
            retry_after_ms: retry_after_ms
                .and_then(|ms| i64::try_from(ms).ok())
                .map(|ms| ms.saturating_add(self.shared.clock_ahead_ms.load(Ordering::Relaxed))),
        };
        if !self
            .shared
            .store
            .record_failure(&self.key, known.status, next, &error)
            .await?
        {
            return Ok(self.lost());
        }
        tracing::warn!(
            subscription = known.id,
            position = error.position,
            class = error.class.as_str(),
            attempts,
            retry_after_ms,
            "{} failed: {}",
            known.id,
            failure.message
        );
        self.shared.notify(Notice::Failed {
            subscription: known.id.clone(),
            class: failure.class,
            message: failure.message.clone(),
            position: error.position,
            retry_after_ms,
        });
        self.forget();
        self.position = None;
        Ok(Step::Worked)
    }

    /// Records the event as skipped and moves the checkpoint past it, in one transaction.
    async fn skip(&mut self, known: &Subscription, blame: &Blame) -> Result<Step, Error> {
        let mut batch = match Batch::open(
            &self.shared.store,
            &self.key,
            Grant::Handle,
            Durability::of(known.kind),
        )
        .await?
        {
            Opening::Opened(batch) => batch,
            Opening::Taken => return Ok(self.lost()),
        };
        let state = batch.state().clone();
        if (state.status, state.module) != (known.status, known.module)
            || state.position >= blame.position
        {
            batch.rollback().await?;
            return Ok(self.lost());
        }
        batch
            .record_skipped(blame.position, "guest", &blame.failure.message)
            .await?;
        if batch
            .commit(blame.position, Change::Keep, self.shared.host)
            .await?
            != Outcome::Committed
        {
            return Ok(self.lost());
        }
        self.shared.notify(Notice::Skipped {
            subscription: known.id.clone(),
            position: blame.position,
            reason: blame.failure.message.clone(),
        });
        self.stands_at(blame.position);
        Ok(Step::Worked)
    }

    /// Nobody's fault: the same again in a moment, and no attempt is counted.
    fn unavailable(&mut self, failure: &Failure) -> Step {
        self.unavailable_in_a_row = self.unavailable_in_a_row.saturating_add(1);
        let retry_ms = unavailable_delay_ms(self.unavailable_in_a_row);
        tracing::debug!(
            subscription = self.key.subscription,
            retry_ms,
            "the database is not available: {}",
            failure.message
        );
        self.forget();
        self.position = None;
        Step::Wait { retry_ms }
    }

    /// What this worker believed is not so any more.
    fn lost(&mut self) -> Step {
        self.forget();
        self.position = None;
        self.stop_search();
        Step::Worked
    }

    /// Somebody else may have worked on the lane: what was found out about a culprit is not certain any more.
    fn stop_search(&mut self) {
        self.isolation = None;
        self.blamed = None;
    }

    fn settled(&mut self, status: Status) {
        self.shared.notify(Notice::Status {
            subscription: self.key.subscription.clone(),
            status,
        });
        self.forget();
    }

    async fn change(&mut self, known: &Subscription, input: Input) -> Result<(), Error> {
        if let Ok(Next::Status(next)) = known.status.on(input, known.run_mode) {
            self.shared
                .store
                .change_status(&known.id, known.status, next)
                .await?;
        }
        self.forget();
        Ok(())
    }

    /// The operator's policy for this guest, else the guest's own wish, else the host's.
    fn policy(&self, known: &Subscription) -> RetryPolicy {
        let settings: Settings = serde_json::from_value(known.settings.clone()).unwrap_or_default();
        settings.retry.map_or_else(
            || known.descriptor.retry(self.shared.retry),
            RetryPolicy::from,
        )
    }
}
