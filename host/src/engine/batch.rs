//! The path of a batch, top to bottom: take the lane, read, hand to the guest, write, move the checkpoint, commit.

use std::sync::Arc;
use std::time::Instant;

use subscription::{Input, Kind, LIVE_EVENTS_MAX, Next, Pace, RunMode, Status, Taken};
use tokio::sync::oneshot;

use super::ahead::{Ahead, Chunk};
use super::call::{self, Call};
use super::carried::Carried;
use super::ending::{Ended, Ending};
use super::handed::Handed;
use super::handled::{Broken, FailedBatch, Handled, Held, Written};
use super::ready;
use super::shared::Shared;
use super::worker::SLICE;
use crate::guest::{Failure, Instance, Said};
use crate::store::{
    Batch, Change, Durability, Error, Grant, LaneKey, LaneState, Opening, Outcome, ReadFilter,
    ReadLimit, RecordedEvent, Subscription, Walls, failpoint,
};

/// What a batch came to.
pub(super) enum Done {
    /// Everything that was there is handled up to the position.
    Committed {
        /// The batch before, if it was on its way until now: its events, and where it ended.
        before: Option<(usize, i64)>,
        events: usize,
        position: i64,
        status: Status,
    },
    /// Somebody else holds the lane.
    Taken,
    /// The row is not what the worker believed: read it again.
    Stale,
    /// Nothing is there to handle behind this position.
    CaughtUp {
        position: i64,
    },
    /// There is something, and it is another version's turn first.
    HeldBack,
    /// It failed, and went by what may not be so. Nothing has happened: the same again, with the lane taken first and each answer in its turn.
    Doubted,
    Failed(Box<FailedBatch>),
    /// The guest is done with it, and it is on its way into the database. The next batch can begin, and tells what became of it.
    Begun,
}

/// How much of the log one attempt takes.
#[derive(Clone, Copy)]
pub(super) struct Portion {
    pub horizon: i64,
    /// While a culprit is searched: so many events and no more.
    pub events_max: Option<u32>,
    /// The lane follows the head, and nothing is amiss with it.
    pub follows: bool,
}

/// Bytes of events that are read at once for a batch near the head.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Runs one batch of a lane. While it does, the one before may still be on its way into the database.
pub(super) async fn run(
    shared: &Arc<Shared>,
    known: &Subscription,
    key: &LaneKey,
    portion: Portion,
    carried: &mut Carried,
) -> Result<Done, Error> {
    let Some(mut ending) = carried.ending.take() else {
        return attempt(shared, known, key, portion, carried, None).await;
    };
    let done = attempt(shared, known, key, portion, carried, ending.committed()).await;
    let ended = ending.ended().await;
    match ended.inspect_err(|_| carried.forget())? {
        Ended::Failed(failed, is_in_doubt) => Ok(failed.ended(is_in_doubt, carried)),
        Ended::Overtaken => {
            carried.forget();
            Ok(Done::Stale)
        }
        Ended::Committed => Ok(match done {
            Ok(Done::Committed {
                events,
                position,
                status,
                ..
            }) => Done::Committed {
                before: Some((ending.events, ending.position)),
                events,
                position,
                status,
            },
            // This one is on its way, or it came to nothing, which shows when it is tried again.
            _ => Done::Committed {
                before: None,
                events: ending.events,
                position: ending.position,
                status: ending.status,
            },
        }),
    }
}

/// Runs one batch, by itself or behind one that is not committed `before` it.
async fn attempt(
    shared: &Arc<Shared>,
    known: &Subscription,
    key: &LaneKey,
    portion: Portion,
    carried: &mut Carried,
    before: Option<oneshot::Receiver<()>>,
) -> Result<Done, Error> {
    let began = Instant::now();
    let ready = shared.waiting.take(key, &known.revision);
    let presumed = match before {
        Some(before) => follow(shared, known, key, carried, before),
        None => presume(shared, known, key, portion, carried).await?,
    };
    let is_presumed = presumed.is_some();
    let has_events = carried.ahead.as_ref().is_some_and(Ahead::has_events);
    let (mut batch, early) = match presumed {
        Some(batch) => (batch, ready),
        None => match open(shared, known, key, has_events, ready).await? {
            Some(opened) => opened,
            None => return Ok(Done::Taken),
        },
    };
    failpoint("batch-opened");
    let state = batch.state().clone();
    if !is_current(known, &state) {
        batch.rollback().await?;
        return Ok(Done::Stale);
    }
    if let Some(rows) = carried.rows.take() {
        batch.adopt(rows, shared.host, carried.passed_to);
    }
    let wanted = target(shared, known, &state, portion.horizon).await?;
    let target = below_ceiling(&state, wanted);
    if state.position >= target && !arrives(state.status, known.run_mode) {
        let position = state.position;
        let rows = batch.keep_rows(position);
        batch.rollback().await?;
        carried.keep(rows, state.status, &shared.kept_rows);
        return Ok(if target < wanted {
            Done::HeldBack
        } else {
            Done::CaughtUp { position }
        });
    }
    if state.ceiling.is_some() {
        // What was read ahead may go past it.
        carried.ahead = None;
    }
    let may_run_ahead = may_run_ahead(known, &state, portion, carried);
    let mut share = Share::of(known, &state, target, portion, began);
    if shared.has_company() {
        let slice_ms = SLICE.as_millis() as u64;
        share.pace.duration_ms = share.pace.duration_ms.min(slice_ms);
    }
    if may_run_ahead && !share.few {
        batch.answer_early();
    }
    let ahead = read(shared, known, &state, target, &share, &mut carried.ahead).await?;
    let broken = |broken: Broken, state, carried: &mut Carried| {
        let (failed, is_in_doubt) = broken.into_failed(state, is_presumed);
        failed.ended(is_in_doubt, carried)
    };
    let mut handled = match handle(shared, known, &state, (batch, early), &share, ahead).await? {
        Ok(handled) => handled,
        Err(failed) => return Ok(broken(failed, state, carried)),
    };
    let goes_on = may_run_ahead && !share.few && state.ceiling.is_none() && handled.up_to < target;
    if goes_on
        && known.run_mode != RunMode::Once
        && !shared.has_company()
        && let Some(rows) = handled.part_with_rows()
    {
        carried.keep(rows, state.status, &shared.kept_rows);
        carried.ending = Some(Ending::begin(handled, state, shared.host, is_presumed));
        return Ok(Done::Begun);
    }
    let written = match handled.write_out().await {
        Ok(written) => written,
        Err(failed) => return Ok(broken(failed, state, carried)),
    };
    failpoint("batch-handled");
    if known.run_mode == RunMode::Once {
        let report = written.report(began);
        shared.store.keep_report(key, &state, &report).await?;
    }
    match commit(shared, known, key, &state, written, target, carried).await? {
        Ok(done) => Ok(done),
        Err(failed) => Ok(broken(failed, state, carried)),
    }
}

/// Begins behind the batch before, with the rows as it left them.
fn follow(
    shared: &Shared,
    known: &Subscription,
    key: &LaneKey,
    carried: &mut Carried,
    before: oneshot::Receiver<()>,
) -> Option<Box<Batch>> {
    let left = carried.rows.take()?;
    let (_, generation) = left.end();
    let follow = || Batch::follow(&shared.store, key, known, left, shared.host, before);
    (generation == known.generation).then(follow)
}

/// At the head, and after a batch of this host, a small batch of a projector presumes that all is as that one left it, and takes its lane
/// where it ends. Effects are never on presumption. Sessions of the host itself have other settings than a batch needs.
async fn presume(
    shared: &Shared,
    known: &Subscription,
    key: &LaneKey,
    portion: Portion,
    carried: &mut Carried,
) -> Result<Option<Box<Batch>>, Error> {
    let may = portion.follows && known.kind == Kind::Projector;
    if !may || shared.store.walls() != Walls::Roles {
        return Ok(None);
    }
    let (Some(ahead), Some(rows)) = (&carried.ahead, &carried.rows) else {
        return Ok(None);
    };
    let (position, _) = rows.end();
    let goes_on = ahead.has_events()
        && are_few(distance(position, portion.horizon))
        && ahead.follows(position, &ReadFilter::of(&known.descriptor));
    let Some(rows) = carried.rows.take_if(|_| goes_on) else {
        return Ok(None);
    };
    let (host, passed_to) = (shared.host, carried.passed_to);
    Batch::presume(&shared.store, key, known, rows, host, passed_to).await
}

/// Whether the guest may go on before the server has done what it asked for: one without effects, with which nothing is amiss, so that
/// everything can be done again.
fn may_run_ahead(
    known: &Subscription,
    state: &LaneState,
    portion: Portion,
    carried: &Carried,
) -> bool {
    let is_sound = state.attempts == 0 && portion.events_max.is_none() && !carried.answers_in_turn;
    known.kind == Kind::Projector && is_sound
}

/// Takes the lane, and meanwhile starts an instance if there are events for it already. `None`: somebody else has it.
async fn open(
    shared: &Arc<Shared>,
    known: &Subscription,
    key: &LaneKey,
    has_events: bool,
    ready: Option<Instance>,
) -> Result<Option<(Box<Batch>, Option<Instance>)>, Error> {
    let durability = Durability::of(known.kind, known.muted);
    let instance = async {
        match ready {
            None if has_events => ready::start(shared, known).await,
            ready => ready,
        }
    };
    let (opening, instance) = tokio::join!(
        Batch::open(&shared.store, key, Grant::Handle, durability),
        instance,
    );
    Ok(match opening? {
        Opening::Opened(batch) => Some((batch, instance)),
        Opening::Taken => None,
    })
}

/// How much one batch takes.
struct Share {
    pace: Pace,
    /// Events, no more.
    events_max: u32,
    /// So few that they are read at once, and nothing ahead of them.
    few: bool,
    began: Instant,
}

impl Share {
    fn of(
        known: &Subscription,
        state: &LaneState,
        target: i64,
        portion: Portion,
        began: Instant,
    ) -> Share {
        let distance = distance(state.position, target);
        let pace = Pace::of(&known.descriptor, state.muted, distance);
        // A retry is of one event: what follows it waits until it is through.
        let retried = (state.attempts > 0 && state.error_position.is_some()).then_some(1);
        let narrowed = portion.events_max.or(retried);
        Share {
            events_max: narrowed.unwrap_or(pace.events),
            few: narrowed.is_some() || are_few(distance),
            pace,
            began,
        }
    }

    /// How many events the next chunk may have, after so much.
    fn next_chunk(&self, taken: Taken) -> usize {
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let taken = Taken {
            elapsed_ms,
            ..taken
        };
        let left = self.events_max.saturating_sub(taken.events);
        if taken.events > 0 && (left == 0 || self.pace.is_full(taken)) {
            return 0;
        }
        left.min(self.pace.chunk_events) as usize
    }
}

fn distance(position: i64, target: i64) -> u64 {
    target.saturating_sub(position).unsigned_abs()
}

/// Whether no more events lie there than a batch at the head takes.
fn are_few(distance: u64) -> bool {
    distance <= LIVE_EVENTS_MAX.into()
}

fn is_current(known: &Subscription, state: &LaneState) -> bool {
    let believed = (known.status, known.module, known.generation, known.muted);
    believed == (state.status, state.module, state.generation, state.muted)
}

/// Where this batch may go: the horizon, or for run mode once the horizon of the moment when booting began.
async fn target(
    shared: &Shared,
    known: &Subscription,
    state: &LaneState,
    horizon: i64,
) -> Result<i64, Error> {
    let target = match (known.run_mode, state.boot_until) {
        (RunMode::Once, Some(fixed)) => fixed,
        (RunMode::Once, None) => shared.store.fix_boot_until(&known.id, horizon).await?,
        _ => horizon,
    };
    // One that begins at a position that the log has not come to yet waits there.
    Ok(target.max(state.position))
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

/// The events from the checkpoint on: what an earlier batch left, or read anew.
async fn read<'a>(
    shared: &Shared,
    known: &Subscription,
    state: &LaneState,
    target: i64,
    share: &Share,
    ahead: &'a mut Option<Ahead>,
) -> Result<&'a mut Ahead, Error> {
    let filter = ReadFilter::of(&known.descriptor);
    let store = &shared.store;
    let after = state.position;
    let begun = ahead.take().filter(|begun| begun.follows(after, &filter));
    let begun = match begun {
        Some(begun) => begun,
        None if share.few => {
            let limit = ReadLimit {
                events: share.events_max.into(),
                bytes: READ_BYTES_MAX,
            };
            let page = store.read_events(after, target, &filter, limit).await?;
            Ahead::of(filter, after, after, page)
        }
        None => Ahead::begin(store, filter, after, target),
    };
    Ok(ahead.insert(begun))
}

/// Hands the events to a fresh instance, chunk by chunk. The inner error is the guest's.
async fn handle(
    shared: &Arc<Shared>,
    known: &Subscription,
    state: &LaneState,
    (batch, early): (Box<Batch>, Option<Instance>),
    share: &Share,
    ahead: &mut Ahead,
) -> Result<Result<Handled, Broken>, Error> {
    let Chunk {
        mut events,
        mut up_to,
    } = ahead.chunk(share.next_chunk(Taken::default())).await?;
    if events.is_empty() {
        return Ok(Ok(Handled {
            held: Held::Nobody(batch),
            events: Handed::default(),
            up_to,
            retry_context: None,
            said: Said::default(),
        }));
    }
    let first = events.first();
    let mut all = Handed::default();
    let mut instance = match start(shared, known, state, (batch, early), first).await? {
        Ok(instance) => instance,
        Err(failure) => {
            all.add(&events);
            return Ok(Err(Broken::at_the_end(failure, all)));
        }
    };
    let mut taken = Taken::default();
    while !events.is_empty() {
        all.add(&events);
        let bytes = events.iter().map(|event| event.size_bytes() as u64);
        taken.bytes += bytes.sum::<u64>();
        if let Err(failure) = instance.handle(events).await {
            return Ok(Err(Broken {
                failure,
                events: all,
                before_chunk: taken.events,
                answered_early: instance.answered_early(),
            }));
        }
        taken.events = u32::try_from(all.len()).unwrap_or(u32::MAX);
        taken.statements = instance.statements();
        match share.next_chunk(taken) {
            0 => break,
            more => Chunk { events, up_to } = ahead.chunk(more).await?,
        }
    }
    let (retry_context, said) = (instance.retry_context(), instance.logged());
    if let Err(failure) = instance.close().await {
        return Ok(Err(Broken {
            answered_early: instance.answered_early(),
            ..Broken::at_the_end(failure, all)
        }));
    }
    Ok(Ok(Handled {
        held: Held::Instance(Box::new(instance)),
        events: all,
        up_to,
        retry_context,
        said,
    }))
}

/// A fresh instance of the newest module, with the batch inside. The inner error is the guest's.
async fn start(
    shared: &Arc<Shared>,
    known: &Subscription,
    state: &LaneState,
    (batch, early): (Box<Batch>, Option<Instance>),
    first: Option<&RecordedEvent>,
) -> Result<Result<Instance, Box<Failure>>, Error> {
    let again = first.is_some_and(|event| state.error_position == Some(event.position))
        || state.error_position.is_none();
    let failures = if again {
        state.attempts.unsigned_abs()
    } else {
        0
    };
    if failures == 0
        && let Some(mut instance) = early
    {
        instance.take_on(batch);
        return Ok(Ok(instance));
    }
    Ok(match call::prepare(shared, known, state, failures).await? {
        Ok(Call {
            module,
            context,
            limits,
        }) => Instance::start(&module, context, limits, batch).await,
        Err(failure) => Err(failure),
    })
}

/// The inner error is the guest's: what it wrote cannot be committed.
async fn commit(
    shared: &Shared,
    known: &Subscription,
    key: &LaneKey,
    state: &LaneState,
    written: Written,
    target: i64,
    carried: &mut Carried,
) -> Result<Result<Done, Broken>, Error> {
    let Written {
        mut batch,
        events,
        up_to,
        retry_context,
        ..
    } = written;
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
    let is_presumed = batch.is_presumed();
    let (outcome, rows) = batch.commit_keeping(up_to, change, shared.host).await?;
    match outcome {
        Outcome::Committed => {
            failpoint("batch-committed");
            if status != state.status {
                failpoint("version-caught-up");
            }
            carried.keep(rows, status, &shared.kept_rows);
            Ok(Ok(Done::Committed {
                before: None,
                events: events.len(),
                position: up_to,
                status,
            }))
        }
        Outcome::Refused(error) => Ok(Err(Broken::at_the_commit(&error, retry_context, events))),
        // What is presumed need not be so.
        Outcome::Overtaken if is_presumed => Ok(Ok(Done::Stale)),
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
