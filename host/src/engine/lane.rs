//! One lane of a subscription, one step at a time: what its status asks for, done once. The loop, `run --once` and
//! tests take the same steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use subscription::{Duty, Input, Isolation, Next, Status};
use tokio::sync::Notify;

use super::batch::{self, Portion};
use super::carried::Carried;
use super::judgement::Blame;
use super::notice::Notice;
use super::setup;
use super::shared::Shared;
use super::tail::Seat;
use super::turns::Queue;
use crate::store::{Error, LaneKey, Subscription};

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
    /// The database was not to be had, which is nobody's fault: the same again after so long.
    Again { retry_ms: u64 },
    /// Nothing to do before so many milliseconds have passed, or a hint comes.
    Wait { retry_ms: u64 },
    /// The subscription is no more.
    Gone,
}

/// A lane as its worker knows it. All of it can be lost: the rows know better.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) key: LaneKey,
    /// Shared with the step that goes by it: at every event every lane takes one.
    pub(super) known: Option<Arc<Subscription>>,
    /// The row may be another one by now.
    is_old: bool,
    /// Some row has changed by this hint, maybe this one.
    hint: Option<u64>,
    /// Where the last batch of this worker ended, or up to where nothing came since that its guest wants.
    pub(super) position: Option<i64>,
    /// Where the checkpoint was after the last batch.
    pub(super) checkpoint: i64,
    /// Held while it follows the head.
    pub(super) seat: Option<Seat>,
    /// Notified when something comes for it while it is parked.
    pub(super) wake: Arc<Notify>,
    pub(super) isolation: Option<Isolation>,
    /// What the last batch left for the next.
    pub(super) carried: Carried,
    /// The failure whose event is found once what precedes it is committed.
    pub(super) blamed: Option<Blame>,
    pub(super) unavailable_in_a_row: u32,
    /// Of these, the conflicts that the database resolved against us.
    pub(super) conflicts_in_a_row: u32,
    /// It looks once where it is, before a batch would.
    looks_first: bool,
    /// The guest was handed events since an instance was last made for the next batch.
    pub(super) has_handled: bool,
    /// The last batch took long.
    slow: bool,
    /// Events that guests were handed in batches that were committed.
    handled: usize,
    /// Events that may still be handled, for an operator who wants no more.
    pub(super) left: Option<u32>,
}

impl Lane {
    pub fn new(shared: Arc<Shared>, key: LaneKey) -> Lane {
        Lane {
            shared,
            key,
            known: None,
            is_old: true,
            hint: None,
            position: None,
            checkpoint: 0,
            seat: None,
            wake: Arc::default(),
            isolation: None,
            carried: Carried::default(),
            blamed: None,
            unavailable_in_a_row: 0,
            conflicts_in_a_row: 0,
            looks_first: false,
            has_handled: false,
            slow: false,
            handled: 0,
            left: None,
        }
    }

    /// One that is parked if there is nothing for it. Its checkpoint then follows by itself as long as the host runs.
    pub fn looking_first(self) -> Lane {
        Lane {
            looks_first: true,
            ..self
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
        self.is_old = true;
    }

    /// Of the row as it is known.
    pub fn revision(&self) -> Option<String> {
        self.known.as_ref().map(|known| known.revision.clone())
    }

    /// Rows have changed: find out at the next step whether this one did.
    pub fn hear(&mut self) {
        self.hint = Some(*self.shared.changes.borrow());
    }

    /// Does what the status asks for, once.
    pub async fn step(&mut self) -> Result<Step, Error> {
        if self.is_old || self.has_changed().await? {
            self.read_row().await?;
        }
        self.hint = None;
        let Some(known) = self.known.clone() else {
            self.leave();
            return Ok(Step::Gone);
        };
        match known.status.duty() {
            Duty::Rest => {
                // Others can do with the room, and the connection.
                self.carried.ahead = None;
                Ok(Step::Idle)
            }
            Duty::AwaitRetry => self.await_retry(&known).await,
            Duty::SetUp => self.set_up(&known, Input::SetUp).await,
            Duty::Process => self.process(&known).await,
        }
    }

    async fn has_changed(&mut self) -> Result<bool, Error> {
        let (Some(hint), Some(known)) = (self.hint, &self.known) else {
            return Ok(self.hint.is_some());
        };
        let now = self.shared.revision(&known.id, hint).await?;
        Ok(now.as_ref() != Some(&known.revision))
    }

    /// Reads the row. When the guest may want something else now, or what was passed for it was passed under another row, then
    /// where it is has to be looked up. What a batch of this worker has committed stays true, whatever else the row says now.
    async fn read_row(&mut self) -> Result<(), Error> {
        let id = &self.key.subscription;
        let row = self.shared.store.subscription(id).await?;
        let before = self.known.as_deref().zip(row.as_ref());
        let is_certain = before.is_some_and(|(before, now)| {
            before.revision == now.revision
                || (goes_on(before, now) && self.position == Some(self.checkpoint))
        });
        if !is_certain {
            self.finish().await;
            self.position = None;
        }
        (self.known, self.is_old) = (row.map(Arc::new), false);
        Ok(())
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

    /// Waits until the last batch is in the database, or has failed, which shows when it is tried again.
    pub async fn finish(&mut self) {
        if let Some(mut ending) = self.carried.ending.take()
            && let Err(error) = ending.ended().await
        {
            tracing::debug!(%error, "the last batch was not committed");
        }
    }

    /// Sets a New subscription up, with the input that says where it goes from there.
    pub async fn set_up(&mut self, known: &Subscription, input: Input) -> Result<Step, Error> {
        let done = {
            self.carried.forget();
            let mut turn = self.shared.turns.take(self.queue(known)).await;
            let began = Instant::now();
            let done = tokio::select! {
                done = setup::run(&self.shared, known, &self.key, input) => Some(done?),
                () = turn.over() => None,
            };
            self.slow = turn.was_slow(began.elapsed()) || (self.slow && self.isolation.is_some());
            done
        };
        let Some(done) = done else {
            return Ok(self.lost());
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
            setup::Done::Failed(failed) => self.setup_failed(known, *failed).await,
        }
    }

    async fn process(&mut self, known: &Subscription) -> Result<Step, Error> {
        let Some(horizon) = *self.shared.horizon.borrow() else {
            return Ok(Step::Idle);
        };
        if std::mem::take(&mut self.looks_first) && self.follows(known) {
            self.look(known, horizon).await?;
        }
        if known.status == Status::Active
            && self.position.is_some_and(|position| position >= horizon)
        {
            return Ok(Step::Idle);
        }
        if self.left == Some(0) || self.passes(known, horizon) {
            return Ok(Step::Idle);
        }
        self.shared.parked.works(&self.key);
        let searched = self.isolation.and_then(Isolation::events);
        let portion = Portion {
            horizon,
            events_max: searched.into_iter().chain(self.left).min(),
            follows: self.follows(known),
        };
        let mut turn = self.shared.turns.take(self.queue(known)).await;
        let began = Instant::now();
        let done = tokio::select! {
            done = batch::run(&self.shared, known, &self.key, portion, &mut self.carried) => Some(done?),
            () = turn.over() => None,
        };
        self.slow = turn.was_slow(began.elapsed()) || (self.slow && self.isolation.is_some());
        drop(turn);
        // Others waited for its place: it goes on where slow ones do, with what it has not committed.
        let Some(done) = done else {
            self.carried.forget();
            return Ok(self.lost());
        };
        match done {
            batch::Done::Committed {
                before,
                events,
                position,
                status,
            } => {
                for (events, position) in before.into_iter().chain([(events, position)]) {
                    self.count(events);
                    self.shared.notify(Notice::Committed {
                        subscription: known.id.clone(),
                        events,
                        position,
                        horizon,
                        took: began.elapsed(),
                        booting: known.status == Status::Booting,
                    });
                }
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
            batch::Done::Doubted | batch::Done::Begun => Ok(Step::Worked),
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

    pub(super) fn stands_at(&mut self, checkpoint: i64) {
        self.position = Some(checkpoint);
        self.checkpoint = checkpoint;
        self.carried.passed_to = checkpoint;
    }

    /// What is being built has places of its own, so that it never holds up what readers see.
    fn queue(&self, known: &Subscription) -> Queue {
        let builds = known.muted
            || known.left_live_at.is_some()
            || !matches!(known.status, Status::Active | Status::Finished);
        match (self.slow, builds) {
            (true, _) => Queue::Slow,
            (false, true) => Queue::Booting,
            (false, false) => Queue::Live,
        }
    }

    fn count(&mut self, events: usize) {
        self.has_handled |= events > 0;
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
        self.conflicts_in_a_row = 0;
        if status != known.status {
            self.settled(status);
        }
        if status == Status::Finished {
            self.tell_report().await?;
        }
        self.isolation = self.isolation.and_then(Isolation::committed);
        match (self.isolation, self.blamed.take()) {
            (Some(Isolation::Culprit), Some(blame)) if blame.is_after(position) => {
                self.isolation = None;
                self.judge(known, blame).await
            }
            (_, blame) => {
                self.blamed = blame.filter(|_| self.isolation.is_some());
                Ok(Step::Worked)
            }
        }
    }

    /// What this worker believed is not so any more.
    pub(super) fn lost(&mut self) -> Step {
        self.forget();
        self.position = None;
        self.stop_search();
        Step::Worked
    }

    /// Somebody else may have worked on the lane: what was found out about a culprit is not certain any more.
    pub(super) fn stop_search(&mut self) {
        self.isolation = None;
        self.blamed = None;
    }

    pub(super) fn settled(&mut self, status: Status) {
        self.shared.notify(Notice::Status {
            subscription: self.key.subscription.clone(),
            status,
        });
        self.forget();
    }

    /// What a guest that runs once came to.
    async fn tell_report(&mut self) -> Result<(), Error> {
        let id = &self.key.subscription;
        for report in self.shared.store.reports(Some(id)).await? {
            tracing::info!(
                subscription = id,
                events = report.events,
                log_lines = report.log_lines,
                duration_ms = report.took_ms,
                "{id} is finished"
            );
            self.shared.notify(Notice::Finished { report });
        }
        Ok(())
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
}

/// Whether the guest is handed the same events under both rows, and its checkpoint was not set anew in between.
fn goes_on(before: &Subscription, now: &Subscription) -> bool {
    let of = |row: &Subscription| (row.status, row.generation, row.run_mode, row.muted);
    of(before) == of(now) && before.descriptor.filter == now.descriptor.filter
}
