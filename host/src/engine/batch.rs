//! The path of a batch, top to bottom: take the lane, read, hand to the guest, write, move the checkpoint, commit.

use std::sync::Arc;
use std::time::Instant;

use subscription::{ErrorClass, Input, Next, Pace, RunMode, Status};

use super::ahead::{Ahead, Wanted};
use super::catalog;
use super::shared::Shared;
use crate::guest::{CallContext, Failure, Instance, Limits, Settings};
use crate::store::{
    Batch, Change, Durability, Error, Grant, LaneKey, LaneState, Opening, Outcome, Page,
    ReadFilter, ReadLimit, RecordedEvent, Subscription,
};

/// What a batch came to.
pub(super) enum Done {
    /// Everything that was there is handled up to the position.
    Committed {
        events: usize,
        position: i64,
        status: Status,
    },
    /// Somebody else holds the lane.
    Taken,
    /// The row is not what the worker believed: read it again.
    Stale,
    /// Nothing is there to handle.
    CaughtUp,
    /// There is something, and it is another version's turn first.
    HeldBack,
    Failed(Box<FailedBatch>),
}

/// A failure with what is needed to find the culprit and to write it down.
pub(super) struct FailedBatch {
    pub failure: Box<Failure>,
    pub state: LaneState,
    /// Position and type of each event of the attempt.
    pub events: Vec<(i64, String)>,
    /// Events before the chunk that failed: the guest's count begins there.
    pub before_chunk: u32,
}

/// How much of the log one attempt takes.
#[derive(Clone, Copy)]
pub(super) struct Portion {
    pub horizon: i64,
    /// While a culprit is searched: so many events and no more.
    pub events_max: Option<u32>,
}

/// Runs one batch of a lane.
pub(super) async fn run(
    shared: &Arc<Shared>,
    known: &Subscription,
    key: &LaneKey,
    portion: Portion,
    ahead: &mut Option<Ahead>,
) -> Result<Done, Error> {
    let began = Instant::now();
    let mut batch = match Batch::open(
        &shared.store,
        key,
        Grant::Handle,
        Durability::of(known.kind),
    )
    .await?
    {
        Opening::Opened(batch) => batch,
        Opening::Taken => return Ok(Done::Taken),
    };
    let state = batch.state().clone();
    if !is_current(known, &state) {
        batch.rollback().await?;
        return Ok(Done::Stale);
    }
    let wanted = target(known, &mut batch, portion.horizon).await?;
    let target = below_ceiling(&state, wanted);
    if state.position >= target && !arrives(state.status, known.run_mode) {
        batch.rollback().await?;
        return Ok(if target < wanted {
            Done::HeldBack
        } else {
            Done::CaughtUp
        });
    }
    if state.ceiling.is_some() {
        // What was read ahead may go past it.
        ahead.take();
    }
    let pace = Pace::of(
        &known.descriptor,
        target.saturating_sub(state.position).unsigned_abs(),
    );
    let page = read(shared, known, &state, target, &pace, portion, ahead).await?;
    let handed: Vec<(i64, String)> = page
        .events
        .iter()
        .map(|event| (event.position, event.event_type.clone()))
        .collect();
    let handled = match handle(shared, known, &state, batch, page, &pace, began).await? {
        Ok(handled) => handled,
        Err((failure, before_chunk)) => {
            return Ok(Done::Failed(Box::new(FailedBatch {
                failure,
                state,
                events: handed,
                before_chunk,
            })));
        }
    };
    match commit(shared, known, key, &state, handled, target).await? {
        Ok(done) => Ok(done),
        Err(failure) => Ok(Done::Failed(Box::new(FailedBatch {
            failure,
            state,
            events: handed,
            before_chunk: 0,
        }))),
    }
}

/// A batch that the guest is done with.
struct Handled {
    batch: Box<Batch>,
    events: usize,
    up_to: i64,
}

fn is_current(known: &Subscription, state: &LaneState) -> bool {
    (known.status, known.module, known.generation) == (state.status, state.module, state.generation)
}

/// Where this batch may go: the horizon, or for run mode once the horizon of the moment when booting began.
async fn target(known: &Subscription, batch: &mut Batch, horizon: i64) -> Result<i64, Error> {
    if known.run_mode != RunMode::Once {
        return Ok(horizon);
    }
    match batch.state().boot_until {
        Some(fixed) => Ok(fixed),
        None => {
            batch.fix_boot_until(horizon).await?;
            Ok(horizon)
        }
    }
}

/// While its line is handed over, a version goes no further than another one stands.
fn below_ceiling(state: &LaneState, target: i64) -> i64 {
    match state.ceiling {
        Some(ceiling) => target.min(ceiling).max(state.position.min(target)),
        None => target,
    }
}

/// Whether reaching the target changes the status, so that even an empty batch is worth committing.
fn arrives(status: Status, mode: RunMode) -> bool {
    status == Status::Booting || (status == Status::Active && mode == RunMode::Once)
}

/// The next page: the one that was read ahead, if it fits. The page after it is begun while the guest works on this one.
async fn read(
    shared: &Shared,
    known: &Subscription,
    state: &LaneState,
    target: i64,
    pace: &Pace,
    portion: Portion,
    ahead: &mut Option<Ahead>,
) -> Result<Page, Error> {
    // A retry is of one event: what follows it waits until it is through.
    let retried = (state.attempts > 0 && state.error_position.is_some()).then_some(1);
    let narrowed = portion.events_max.or(retried);
    let mut wanted = Wanted {
        after: state.position,
        filter: ReadFilter::from(&known.descriptor.filter),
        limit: ReadLimit {
            events: narrowed.unwrap_or(pace.events).into(),
            bytes: usize::try_from(pace.bytes).unwrap_or(usize::MAX),
        },
    };
    let begun = match ahead.take() {
        Some(ahead) => ahead.take(&wanted).await,
        None => None,
    };
    let page = match begun {
        Some(page) => page?,
        None => wanted.read(&shared.store, target).await?,
    };
    if page.up_to < target && narrowed.is_none() {
        wanted.after = page.up_to;
        *ahead = Some(Ahead::begin(&shared.store, wanted, target));
    }
    Ok(page)
}

/// Hands the events to a fresh instance, chunk by chunk. The inner error is the guest's.
async fn handle(
    shared: &Arc<Shared>,
    known: &Subscription,
    state: &LaneState,
    batch: Box<Batch>,
    page: Page,
    pace: &Pace,
    began: Instant,
) -> Result<Result<Handled, (Box<Failure>, u32)>, Error> {
    if page.events.is_empty() {
        return Ok(Ok(Handled {
            batch,
            events: 0,
            up_to: page.up_to,
        }));
    }
    let mut instance = match start(shared, known, state, batch, page.events.first()).await? {
        Ok(instance) => instance,
        Err(failure) => return Ok(Err((failure, 0))),
    };
    let total = page.events.len();
    let (mut handled, mut bytes, mut up_to) = (0, 0, page.up_to);
    let mut rest = page.events.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk: Vec<RecordedEvent> = rest.by_ref().take(pace.chunk_events as usize).collect();
        let (length, last) = (chunk.len(), chunk.last().map(|event| event.position));
        bytes += chunk
            .iter()
            .map(|event| event.size_bytes() as u64)
            .sum::<u64>();
        if let Err(failure) = instance.handle(chunk).await {
            return Ok(Err((failure, handled)));
        }
        handled += u32::try_from(length).unwrap_or(u32::MAX);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if rest.peek().is_some() && pace.is_full(handled, bytes, elapsed_ms) {
            up_to = last.unwrap_or(up_to);
            break;
        }
    }
    let mut batch = instance.into_batch();
    if let Err(error) = batch.flush().await {
        let class = if error.retryable {
            ErrorClass::Unavailable
        } else {
            ErrorClass::Sql
        };
        return Ok(Err((Failure::new(class, error.message), 0)));
    }
    debug_assert!(
        handled as usize <= total,
        "no more events are handled than were read"
    );
    Ok(Ok(Handled {
        batch,
        events: handled as usize,
        up_to,
    }))
}

/// A fresh instance of the newest module, with the batch inside. The inner error is the guest's.
pub(super) async fn start(
    shared: &Arc<Shared>,
    known: &Subscription,
    state: &LaneState,
    batch: Box<Batch>,
    first: Option<&RecordedEvent>,
) -> Result<Result<Instance, Box<Failure>>, Error> {
    let module = match shared.catalog.get(&shared.store, &state.module).await {
        Ok(module) => module,
        Err(catalog::Error::Store(error)) => return Err(error),
        Err(refused) => {
            return Ok(Err(Failure::new(
                ErrorClass::Incompatible,
                refused.to_string(),
            )));
        }
    };
    let settings: Settings = serde_json::from_value(known.settings.clone()).unwrap_or_default();
    let again = first.is_some_and(|event| state.error_position == Some(event.position))
        || state.error_position.is_none();
    let failures = if again {
        state.attempts.unsigned_abs()
    } else {
        0
    };
    let context = CallContext {
        subscriber_id: known.id.clone(),
        line: known.line.clone(),
        kind: known.kind,
        live: state.status == Status::Active,
        muted: state.muted,
        attempt: failures + 1,
        retry_context: if failures > 0 {
            state.retry_context.clone()
        } else {
            None
        },
        settings: Arc::new(settings.settings),
        store: shared.store.clone(),
    };
    let limits: Limits = settings.limits;
    Ok(Instance::start(&module, context, limits, batch).await)
}

/// The inner error is the guest's: what it wrote cannot be committed.
async fn commit(
    shared: &Shared,
    known: &Subscription,
    key: &LaneKey,
    state: &LaneState,
    handled: Handled,
    target: i64,
) -> Result<Result<Done, Box<Failure>>, Error> {
    let Handled {
        mut batch,
        events,
        up_to,
    } = handled;
    let mut status = state.status;
    let mut change = Change::Keep;
    if up_to >= target
        && arrives(state.status, known.run_mode)
        && !batch.others_behind(target).await?
        && let Ok(Next::Status(next)) = state.status.on(Input::CaughtUp, known.run_mode)
    {
        change = Change::Try(state.status, next);
        status = next;
    }
    match batch.commit(up_to, change, shared.host).await? {
        Outcome::Committed => Ok(Ok(Done::Committed {
            events,
            position: up_to,
            status,
        })),
        Outcome::Refused(error) => Ok(Err(Failure::new(ErrorClass::Sql, error.message))),
        // Another host was faster: nothing of this batch counts.
        Outcome::Overtaken => {
            tracing::warn!(
                subscription = key.subscription,
                position = state.position,
                "a batch was overtaken and is given up"
            );
            Ok(Ok(Done::Stale))
        }
    }
}
