//! The one task of a host that follows the horizon of a source, for all subscriptions.
//!
//! While events come it polls, with the bell silent: ringing is what makes appenders slow. When they stop it goes to sleep, and
//! appenders wake it by the bell. The order in which it
//! does so loses no ring: arm the bell, then look at holders, then at events, then wait. An appender that had looked at
//! the bell before it was armed is still a holder, or its events are there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::parked::Parked;
use super::tail::{TAIL_EVENTS, Tail};
use crate::store::{Armed, Error, Hint, Holder, Horizon, Look, ReadFilter, ReadLimit, Store};

/// The pauses between looks while awake: short after an event, longer while nothing comes or a holder is waited for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE_WAITING: Duration = Duration::from_millis(10);

/// How long nothing has to come before the task goes to sleep.
const QUIET: Duration = Duration::from_millis(50);

/// Rings that are closer together than this wake the task for good.
const CLOSE_RINGS: Duration = Duration::from_millis(20);

/// How long a sleep lasts at most. A lost ring costs this much, never an event.
const TICK: Duration = Duration::from_secs(1);

/// The bell stays armed this much longer than a sleep: two hosts that arm it at once may set it back by a moment.
const BELL_MARGIN: Duration = Duration::from_millis(500);

/// A holder that stays longer is reported, and no longer keeps the task awake: its events may come a tick late.
const LONG_HOLDER: Duration = Duration::from_secs(5);

/// Bytes of events that are read for the tail at once.
const TAIL_READ_BYTES: usize = 4 * 1024 * 1024;

/// How long to wait after the database could not be asked.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Follows the horizon until `stop`. What it publishes is `None` until the writers that were open at the start have ended.
/// `events` is the hint that something was appended; without one, only the tick wakes the task.
pub(super) fn spawn_into(
    store: Store,
    events: Hint,
    horizon: watch::Sender<Option<i64>>,
    tail: Arc<Tail>,
    parked: Arc<Parked>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let search = Horizon::new(store.clone());
    let task = HorizonTask {
        store,
        search,
        events,
        horizon,
        tail,
        parked,
        waited_for: Known::default(),
        open: Known::default(),
        armed: None,
        reported: HashSet::new(),
    };
    tokio::spawn(async move {
        // Every statement of the task stands alone, so it can be stopped anywhere.
        stop.run_until_cancelled(task.run()).await;
    })
}

/// Follows the horizon for itself alone.
pub fn spawn(store: Store, events: Hint, stop: CancellationToken) -> watch::Receiver<Option<i64>> {
    let (horizon, receiver) = watch::channel(None);
    spawn_into(store, events, horizon, Arc::default(), Arc::default(), stop);
    receiver
}

struct HorizonTask {
    store: Store,
    search: Horizon,
    events: Hint,
    horizon: watch::Sender<Option<i64>>,
    tail: Arc<Tail>,
    parked: Arc<Parked>,
    /// Those that the horizon waits for.
    waited_for: Known,
    /// All that were there when the task went to sleep.
    open: Known,
    /// The bell, as long as it is armed for this task.
    armed: Option<Armed>,
    /// Those of the first that were reported.
    reported: HashSet<String>,
}

impl HorizonTask {
    async fn run(mut self) {
        let mut outage = false;
        loop {
            let Err(error) = self.follow().await;
            if !outage {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the horizon cannot be followed; trying again"
                );
            }
            outage = true;
            tokio::time::sleep(RETRY_AFTER).await;
            outage &= self.look().await.is_err();
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Error> {
        loop {
            self.poll_until_quiet().await?;
            while self.sleep().await? == Woken::ByTick {}
        }
    }

    async fn poll_until_quiet(&mut self) -> Result<(), Error> {
        let mut pause = SHORTEST_PAUSE;
        let mut last_event = Instant::now();
        loop {
            let (look, moved) = self.look().await?;
            // Only now, when everybody has heard of what it woke up for.
            if let Some(armed) = self.armed.take() {
                self.search.disarm_bell(armed).await?;
            }
            if moved || look.more {
                (pause, last_event) = (SHORTEST_PAUSE, Instant::now());
            }
            if look.more {
                continue;
            }
            if last_event.elapsed() >= QUIET && !self.waited_for.any_is_fresh(&look.waiting_for) {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            let longest = if look.waiting_for.is_empty() {
                LONGEST_PAUSE
            } else {
                LONGEST_PAUSE_WAITING
            };
            pause = (pause * 2).min(longest);
        }
    }

    /// Sleeps once, unless there is something to do after all.
    async fn sleep(&mut self) -> Result<Woken, Error> {
        self.events.register();
        let until = Instant::now() + TICK;
        let armed = self.search.arm_bell(TICK + BELL_MARGIN).await?;
        self.armed = Some(armed.after(self.armed));
        let holders = self.search.holders().await?;
        self.open.meet(&holders);
        let (look, moved) = self.look().await?;
        if moved || self.open.any_is_fresh(&holders) || self.has_more_soon(&look) {
            return Ok(Woken::ByWork);
        }
        self.answer_rings(until).await
    }

    /// Events that come one at a time are rung for one at a time, and the bell stays armed: to silence and to arm it again, and
    /// to look for more in between, is more work than they are. When they come closer together, ringing is what costs more.
    async fn answer_rings(&mut self, until: Instant) -> Result<Woken, Error> {
        let mut last_ring: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.events.heard() => {}
                () = tokio::time::sleep_until(until.into()) => return Ok(Woken::ByTick),
            }
            let (look, _) = self.look_for_ring().await?;
            let is_close = last_ring.is_some_and(|last| last.elapsed() < CLOSE_RINGS);
            if is_close || self.has_more_soon(&look) {
                return Ok(Woken::ByWork);
            }
            last_ring = Some(Instant::now());
        }
    }

    fn has_more_soon(&self, look: &Look) -> bool {
        look.more || self.waited_for.any_is_fresh(&look.waiting_for)
    }

    /// Takes the events that were said with the rings, or looks where those do not tell everything.
    async fn look_for_ring(&mut self) -> Result<(Look, bool), Error> {
        let said = self.events.said().filter(|_| self.tail.is_wanted());
        match said.and_then(|said| self.search.hear(said)) {
            Some(look) => self.publish(look).await,
            None => self.look().await,
        }
    }

    /// Looks once and publishes; says whether the horizon moved.
    async fn look(&mut self) -> Result<(Look, bool), Error> {
        let look = if self.tail.is_wanted() {
            self.search.look_along().await?
        } else {
            self.search.look().await?
        };
        self.publish(look).await
    }

    async fn publish(&mut self, look: Look) -> Result<(Look, bool), Error> {
        self.waited_for.meet(&look.waiting_for);
        self.report_long_holders(&look);
        self.fill_tail(&look).await?;
        // Never back: somebody may have followed this horizon before, step by step.
        let moved = self.horizon.send_if_modified(|published| {
            let moved = *published < look.horizon;
            *published = look.horizon.max(*published);
            moved
        });
        // After it is published: who comes too late to be told finds it there.
        let horizon = *self.horizon.borrow();
        if let Some(horizon) = horizon {
            self.parked.tell(&self.tail, horizon);
        }
        Ok((look, moved))
    }

    /// Brings the tail up to the horizon before anybody hears of it. What the look read along is a part of it at best: what
    /// lies above a hole is read again, in a later snapshot.
    async fn fill_tail(&self, look: &Look) -> Result<(), Error> {
        let (Some(horizon), true) = (look.horizon, self.tail.is_wanted()) else {
            return Ok(());
        };
        if let Some(along) = &look.along {
            self.tail.add(along.after, along.page.clone());
        }
        let after = self.tail.up_to();
        if after >= horizon {
            return Ok(());
        }
        if horizon - after > TAIL_EVENTS as i64 {
            self.tail.begin_at(horizon);
            return Ok(());
        }
        let limit = ReadLimit {
            events: TAIL_EVENTS as i64,
            bytes: TAIL_READ_BYTES,
        };
        let everything = ReadFilter::everything();
        let page = self.store.read_events(after, horizon, &everything, limit);
        match page.await? {
            page if page.up_to >= horizon => self.tail.add(after, page),
            // So large that lanes had better read for themselves.
            _ => self.tail.begin_at(horizon),
        }
        Ok(())
    }

    fn report_long_holders(&mut self, look: &Look) {
        self.reported
            .retain(|name| self.waited_for.0.contains_key(name));
        for holder in look
            .waiting_for
            .iter()
            .filter(|holder| self.waited_for.is_long(holder))
        {
            if self.reported.insert(holder.virtual_transaction.clone()) {
                tracing::warn!(
                    pid = holder.pid,
                    application = holder.application,
                    query = holder.shown_query(),
                    since = holder.since.map(|since| since.to_string()),
                    position = look.horizon,
                    "events above the horizon wait for an open writer, {holder}; end it if it is stuck"
                );
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    ByTick,
    ByWork,
}

/// Holders, and since when this task has known them. PostgreSQL tells since when their transactions run, which is another
/// thing: a long one may have taken its position just now.
#[derive(Default)]
struct Known(HashMap<String, Instant>);

impl Known {
    /// Takes those that there are now; whoever is not among them has ended.
    fn meet(&mut self, holders: &[Holder]) {
        let names: HashSet<&str> = holders
            .iter()
            .map(|holder| holder.virtual_transaction.as_str())
            .collect();
        self.0.retain(|name, _| names.contains(name.as_str()));
        for name in names {
            self.0.entry(name.to_string()).or_insert_with(Instant::now);
        }
    }

    fn is_long(&self, holder: &Holder) -> bool {
        self.0
            .get(&holder.virtual_transaction)
            .is_some_and(|since| since.elapsed() > LONG_HOLDER)
    }

    /// Whether somebody among these will probably end soon.
    fn any_is_fresh(&self, holders: &[Holder]) -> bool {
        holders.iter().any(|holder| !self.is_long(holder))
    }
}
