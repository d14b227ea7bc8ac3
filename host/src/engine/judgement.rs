//! What follows from a failure: which event is to blame, what the guest and the policy make of it, what is written down.

use std::sync::atomic::Ordering;

use subscription::{
    After, Clue, ErrorClass, Input, Isolation, Kind, Next, RetryPolicy, Verdict, conflict_class,
    failed, unavailable_delay_ms,
};
use uuid::Uuid;

use super::call::{self, Call};
use super::handled::FailedBatch;
use super::lane::{Lane, Step};
use super::notice::{Notice, Thrown};
use crate::guest::{Failure, Recovered, Settings, recover};
use crate::store::{
    Batch, Change, Durability, Error, Grant, LaneState, NewLaneError, Opening, Outcome, ReadFilter,
    ReadLimit, RecordedEvent, Subscription,
};

/// Longest message of a failure in the host's log, in bytes.
const MAX_LOGGED_BYTES: usize = 4 * 1024;

/// A failure and what it is held against.
pub(super) struct Blame {
    failure: Box<Failure>,
    /// Position and type; none when no event is at fault, as in a setup.
    event: Option<(i64, String)>,
    /// What the rows said when the attempt began.
    state: LaneState,
}

impl Blame {
    /// Whether its event still lies ahead of a checkpoint.
    pub fn is_after(&self, checkpoint: i64) -> bool {
        self.position()
            .is_some_and(|position| position > checkpoint)
    }

    fn position(&self) -> Option<i64> {
        self.event.as_ref().map(|(position, _)| *position)
    }

    /// Whether the last recorded failure was at the same event.
    fn is_known(&self) -> bool {
        self.event.is_none() || self.position() == self.state.error_position
    }

    /// Counted failures so far, without this one.
    fn failures(&self) -> u32 {
        match self.is_known() {
            true => self.state.attempts.unsigned_abs(),
            false => 0,
        }
    }

    /// What the next attempt finds: what this one left, else what an earlier one did.
    fn retry_context(&self) -> Option<String> {
        let earlier = self.state.retry_context.as_ref();
        let left = self.failure.retry_context.as_ref();
        left.or(earlier.filter(|_| self.is_known())).cloned()
    }

    /// An event at which the guest broke down without a word of its own.
    fn is_unspoken(&self) -> bool {
        self.event.is_some()
            && self.failure.verdict.is_none()
            && self.failure.class != ErrorClass::Incompatible
    }
}

/// The beginning of a message, for the log; the row has all of it.
fn logged(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_LOGGED_BYTES)]
}

impl Lane {
    pub(super) async fn setup_failed(
        &mut self,
        known: &Subscription,
        failed: FailedBatch,
    ) -> Result<Step, Error> {
        let FailedBatch { failure, state, .. } = failed;
        let Some(failure) = self.counting(failure) else {
            return Ok(self.unavailable());
        };
        let event = None;
        let blame = Blame {
            failure,
            event,
            state,
        };
        self.judge(known, blame).await
    }

    /// Looks for the one event that is to blame; what precedes it is committed first.
    pub(super) async fn failed(
        &mut self,
        known: &Subscription,
        failed: FailedBatch,
    ) -> Result<Step, Error> {
        let FailedBatch {
            failure,
            state,
            events,
            before_chunk,
        } = failed;
        let Some(failure) = self.counting(failure) else {
            return Ok(self.unavailable());
        };
        if failure.class == ErrorClass::Incompatible {
            let event = None;
            let blame = Blame {
                failure,
                event,
                state,
            };
            return self.judge(known, blame).await;
        }
        let ran = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let clue = failure.handled.map_or(Clue::Unknown, |handled| {
            Clue::Handled(before_chunk.saturating_add(handled))
        });
        let step = match self.isolation {
            // Muted it runs as a projector does, in batches of many.
            None if known.muted => Isolation::begin(Kind::Projector, ran, clue),
            None => Isolation::begin(known.kind, ran, clue),
            Some(step) => step.failed(clue),
        };
        let at = match step {
            Isolation::Culprit => 0,
            Isolation::Before { events } => events as usize,
            Isolation::Among { .. } => usize::MAX,
        };
        let blame = events.at(at).map(|event| Blame {
            failure,
            event: Some(event),
            state,
        });
        match (step, blame) {
            (Isolation::Culprit, Some(blame)) => {
                self.isolation = None;
                self.judge(known, blame).await
            }
            (step, blame) => {
                self.isolation = Some(step);
                self.blamed = blame;
                Ok(Step::Worked)
            }
        }
    }

    /// The failure, if it counts. The database's own trouble does not, unless it comes every time.
    fn counting(&mut self, mut failure: Box<Failure>) -> Option<Box<Failure>> {
        if failure.class != ErrorClass::Unavailable {
            return Some(failure);
        }
        if failure.is_conflict {
            self.conflicts_in_a_row = self.conflicts_in_a_row.saturating_add(1);
            failure.class = conflict_class(self.conflicts_in_a_row);
        }
        if failure.class == ErrorClass::Unavailable {
            tracing::debug!(
                subscription = self.key.subscription,
                "the database is not available: {}",
                failure.message
            );
            return None;
        }
        failure.message = format!(
            "{}; that was conflict number {} in a row, so it is not taken for chance any more",
            failure.message, self.conflicts_in_a_row
        );
        Some(failure)
    }

    /// Applies the verdict to the event that is to blame, or to a setup.
    pub(super) async fn judge(
        &mut self,
        known: &Subscription,
        mut blame: Blame,
    ) -> Result<Step, Error> {
        if blame.is_unspoken() {
            self.ask(known, &mut blame).await?;
        }
        let policy = self.policy(known);
        let verdict = blame.failure.verdict.unwrap_or_default();
        let outcome = failed(blame.failures(), policy, verdict, blame.failure.class);
        let retry_after_ms = match (outcome.after, verdict) {
            (After::Unchanged, _) => return Ok(self.unavailable()),
            (After::Skip, _) if blame.event.is_some() => return self.skip(known, &blame).await,
            // The policy's delay, not the guest's own.
            (After::Retry { after_ms }, Verdict::Retry { after_ms: 0 }) => {
                let chance = (Uuid::new_v4().as_u128() >> 96) as u32;
                Some(policy.jittered_ms(after_ms, chance))
            }
            (After::Retry { after_ms }, _) => Some(after_ms),
            (After::Exhausted | After::Stop | After::Skip, _) => None,
        };
        self.record(known, &blame, outcome.attempts, retry_after_ms)
            .await
    }

    /// Asks the guest, if it wants to be asked. When that breaks down as well, the policy decides.
    async fn ask(&mut self, known: &Subscription, blame: &mut Blame) -> Result<(), Error> {
        let Some(event) = self.read_again(known, blame).await? else {
            return Ok(());
        };
        let prepared = call::prepare(&self.shared, known, &blame.state, blame.failures()).await?;
        let Ok(Call {
            module,
            mut context,
            limits,
        }) = prepared
        else {
            return Ok(());
        };
        context.retry_context = blame.retry_context();
        match recover(&module, context, limits, event, &blame.failure.message).await {
            Recovered::NotAsked => {}
            Recovered::Decided {
                verdict,
                retry_context,
            } => {
                blame.failure.verdict = Some(verdict);
                blame.failure.retry_context = retry_context.or(blame.retry_context());
            }
            Recovered::Failed(second) => blame.failure.message.push_str(&format!(
                "\nasked what becomes of the event, the guest broke down again ({}): {}",
                second.class, second.message
            )),
        }
        Ok(())
    }

    async fn read_again(
        &mut self,
        known: &Subscription,
        blame: &Blame,
    ) -> Result<Option<RecordedEvent>, Error> {
        let Some(position) = blame.position() else {
            return Ok(None);
        };
        let limit = ReadLimit {
            events: 1,
            bytes: usize::MAX,
        };
        let filter = ReadFilter::from(&known.descriptor.filter);
        let store = &self.shared.store;
        let page = store
            .read_events(position - 1, position, &filter, limit)
            .await?;
        Ok(page.events.into_iter().next())
    }

    async fn record(
        &mut self,
        known: &Subscription,
        blame: &Blame,
        attempts: u32,
        retry_after_ms: Option<u64>,
    ) -> Result<Step, Error> {
        let Ok(Next::Status(next)) = known.status.on(Input::Failed, known.run_mode) else {
            return Ok(self.lost());
        };
        let failure = &blame.failure;
        let ahead_ms = self.shared.clock_ahead_ms.load(Ordering::Relaxed);
        let error = NewLaneError {
            class: failure.class,
            message: failure.message.clone(),
            position: blame.position(),
            event_type: blame.event.as_ref().map(|(_, name)| name.clone()),
            module: known.module,
            backtrace: failure.backtrace.clone(),
            output: failure.output.clone(),
            attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            retry_context: blame.retry_context(),
            // On the clock that tests move, the failure is as far ahead as the clock.
            retry_after_ms: retry_after_ms
                .and_then(|ms| i64::try_from(ms).ok())
                .map(|ms| ms.saturating_add(ahead_ms)),
        };
        let store = &self.shared.store;
        if !store
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
            logged(&failure.message)
        );
        self.shared.throw(|| Thrown {
            subscription: known.id.clone(),
            class: failure.class,
            message: failure.message.clone(),
            position: error.position,
            event_type: error.event_type.clone(),
            backtrace: failure.backtrace.clone(),
            output: failure.output.clone(),
        });
        self.shared.notify(Notice::Failed {
            subscription: known.id.clone(),
            class: failure.class,
            message: failure.message.clone(),
            position: error.position,
            retry_after_ms,
        });
        self.forget();
        self.position = None;
        self.conflicts_in_a_row = 0;
        Ok(Step::Worked)
    }

    /// Records the event as skipped and moves the checkpoint past it, in one transaction.
    async fn skip(&mut self, known: &Subscription, blame: &Blame) -> Result<Step, Error> {
        let Some(position) = blame.position() else {
            return Ok(self.lost());
        };
        let durability = Durability::of(known.kind, known.muted);
        let opening = Batch::open(&self.shared.store, &self.key, Grant::Handle, durability).await?;
        let Opening::Opened(mut batch) = opening else {
            return Ok(self.lost());
        };
        let state = batch.state().clone();
        if (state.status, state.module, state.generation)
            != (known.status, known.module, known.generation)
            || state.position >= position
        {
            batch.rollback().await?;
            return Ok(self.lost());
        }
        let reason = blame.failure.message.clone();
        batch.record_skipped(position, "guest", &reason).await?;
        let host = self.shared.host;
        if batch.commit(position, Change::Keep, host).await? != Outcome::Committed {
            return Ok(self.lost());
        }
        let subscription = known.id.clone();
        self.shared.notify(Notice::Skipped {
            subscription,
            position,
            reason,
        });
        self.stands_at(position);
        self.conflicts_in_a_row = 0;
        Ok(Step::Worked)
    }

    /// Nobody's fault: the same again in a moment, and no attempt is counted.
    fn unavailable(&mut self) -> Step {
        self.unavailable_in_a_row = self.unavailable_in_a_row.saturating_add(1);
        let retry_ms = unavailable_delay_ms(self.unavailable_in_a_row);
        self.forget();
        self.position = None;
        Step::Again { retry_ms }
    }

    /// What the operator set for this guest, else for its group, else the guest's own wish, else the host's.
    fn policy(&self, known: &Subscription) -> RetryPolicy {
        let settings = Settings::of(known);
        let policies = &self.shared.retry;
        policies.of(&known.group, &known.descriptor, settings.retry)
    }
}
