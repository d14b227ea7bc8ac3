//! The builder: what a guest is and which function handles what.

pub use crate::bindings::projectionist::guest::types::RunMode;

use crate::bindings::projectionist::events::types::Event;
use crate::bindings::projectionist::guest::types::{Consistency, Descriptor, Kind};
use crate::ddl::{create_statements, shape, shapes};
use crate::extract::{ChunkEnd, Delivery, Projection, Reaction, Setup};
use crate::failure::{Outcome, Result};
use crate::filter::{Clause, matches};
use crate::handler::Handler;
use crate::in_hand;
use crate::parts::Parts;
use crate::recovery::{self, Recovery, Verdict};
use crate::row::TableRow;
use crate::sql::Sql;
use crate::table::{self, Keys};
use std::fmt;

/// The option that names what the guest looks at of its events.
const EVENT_PARTS: &str = "event-parts";

/// Folds events into tables: deterministic, from the beginning of the log unless told otherwise.
pub type Projector = Subscriber<Projection>;

/// Reacts to events: at least once, from now unless told otherwise.
pub type Processor = Subscriber<Reaction>;

/// What projectors and processors have in common. `S` is where its handlers are called.
#[must_use]
pub struct Subscriber<S> {
    descriptor: Descriptor,
    wants_all: bool,
    parts: Parts,
    filter_given: bool,
    pub(crate) handlers: Vec<(String, Call<S>)>,
    pub(crate) wildcards: Vec<Call<S>>,
    pub(crate) prefetches: Vec<Prefetch<S>>,
    pub(crate) chunk_ends: Vec<Call<ChunkEnd>>,
    /// Put into words only where they are asked for: a call that handles events asks for none.
    tables: Vec<fn() -> String>,
    setups: Vec<Call<Setup>>,
    teardowns: Vec<Call<Setup>>,
    recovery: Option<Recover>,
}

pub(crate) type Call<S> = Box<dyn Fn(&S) -> Result>;
type Recover = Box<dyn Fn(&Recovery) -> Result<Verdict>>;
pub(crate) type Prefetch<S> = Box<dyn Fn(&[S]) -> Result>;

impl Projector {
    /// A projector. `id` is `<line>_<version>`, such as `accounts_1`: a new version is a new id.
    pub fn new(id: impl Into<String>) -> Projector {
        Subscriber::of(id.into(), Kind::Projector, RunMode::FromBeginning)
    }
}

impl Processor {
    /// A processor. `id` needs no version: a new version goes on where the old one stopped.
    pub fn new(id: impl Into<String>) -> Processor {
        Subscriber::of(id.into(), Kind::Processor, RunMode::FromNow)
    }
}

impl<S: Delivery + 'static> Subscriber<S> {
    /// Calls `handler` for events of `event_type`; a trailing `*` stands for every continuation. Several handlers of one
    /// event are called in the order of their registration.
    pub fn on<A, H>(mut self, event_type: impl Into<String>, handler: H) -> Self
    where
        H: Handler<S, A, Output: Outcome>,
    {
        self.parts = self.parts.and(H::PARTS);
        self.handlers.push((event_type.into(), call(handler)));
        self
    }

    /// Calls `handler` for every event that the filter lets through, after the handlers of its type.
    pub fn on_any<A, H>(mut self, handler: H) -> Self
    where
        H: Handler<S, A, Output: Outcome>,
    {
        self.wants_all = true;
        self.parts = self.parts.and(H::PARTS);
        self.wildcards.push(call(handler));
        self
    }

    /// Calls `handler` after the last event of every call of `handle`, to write out what was [`Fold`](crate::Fold)ed.
    pub fn after_chunk<A, H>(mut self, handler: H) -> Self
    where
        H: Handler<ChunkEnd, A, Output: Outcome>,
    {
        self.chunk_ends.push(call(handler));
        self
    }

    /// Makes `T`'s table in `setup`.
    pub fn table<T: TableRow>(mut self) -> Self {
        self.tables.push(shape::<T>);
        self.setup(|sql: Sql| -> Result {
            for statement in create_statements::<T>() {
                sql.execute(&statement, &[])?;
            }
            Ok(())
        })
    }

    /// Before the events of a chunk are handled, `keys` is called for each that matches `event_type` (a trailing `*` as in
    /// [`on`](Self::on)) and may name rows of `T`'s table: they are read in one round trip instead of one each. It may
    /// return a key, an `Option` or `Result` of one, or a `Vec`. Naming too few or too many costs time, nothing else.
    pub fn prefetch<T, A, H>(mut self, event_type: impl Into<String>, keys: H) -> Self
    where
        T: TableRow,
        H: Handler<S, A, Output: Keys<T::Key>>,
    {
        let event_type = event_type.into();
        self.parts = self.parts.and(H::PARTS);
        self.prefetches.push(Box::new(move |deliveries| {
            let wanted = deliveries
                .iter()
                .filter(|delivery| matches(&event_type, delivery.message().event_type()));
            let keys = wanted
                .filter_map(|delivery| keys.call(delivery).ok())
                .flat_map(Keys::into_keys);
            table::prefetch::<T>(keys.collect())
        }));
        self
    }

    /// Called once per id, before the first event, in one transaction, where DDL is allowed.
    pub fn setup<A, H>(mut self, handler: H) -> Self
    where
        H: Handler<Setup, A, Output: Outcome>,
    {
        self.setups.push(call(handler));
        self
    }

    /// Called before the subscription's schema is dropped, which the host does by itself.
    pub fn teardown<A, H>(mut self, handler: H) -> Self
    where
        H: Handler<Setup, A, Output: Outcome>,
    {
        self.teardowns.push(call(handler));
        self
    }

    /// Decides what becomes of an event at which `handle` broke down: it trapped, used up its time or memory, or wrote what
    /// the database refused. `handler` runs in a fresh instance and may take what needs no batch: [`FailedAttempt`](crate::FailedAttempt),
    /// `Event<T>`, [`Message`](crate::Message) and its parts, [`Context`](crate::Context), [`Config`](crate::Config), [`Reader`](crate::Reader). Without it, and when it breaks
    /// down itself, the policy of guest and host goes. A handler that returns a [`Failure`](crate::Failure) has decided by that.
    pub fn on_failure<A, H>(mut self, handler: H) -> Self
    where
        H: Handler<Recovery, A, Output = Verdict>,
    {
        self.recovery = Some(Box::new(move |source| handler.call(source)));
        self
    }

    /// Wants the events of this clause, or of one of the others given, instead of those that have a handler.
    pub fn filter(mut self, clause: Clause) -> Self {
        self.filter_given = true;
        self.descriptor.filter.push(clause.into_wire());
        self
    }

    /// The group by which operators address it.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.descriptor.group = Some(group.into());
        self
    }

    /// Where the first version of the line starts.
    pub fn run_mode(mut self, run_mode: RunMode) -> Self {
        self.descriptor.run_mode = run_mode;
        self
    }

    /// Asks the host to count it among the read models that a writer may wait for.
    pub fn strong(mut self) -> Self {
        self.descriptor.consistency = Consistency::Strong;
        self
    }

    /// At most so many events in one call; without it the host decides.
    pub fn max_chunk(mut self, events: u32) -> Self {
        self.descriptor.max_chunk = events;
        self
    }

    /// A wish that the host may know, such as `timeout-ms`. The host reports those that it does not.
    pub fn option(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.descriptor
            .options
            .push((key.into(), value.to_string()));
        self
    }

    /// What the guest says about itself.
    ///
    /// # Panics
    /// It handles nothing at all, which can only be a mistake.
    pub fn describe(self) -> Descriptor {
        let mut descriptor = self.descriptor;
        if !self.tables.is_empty() {
            let shapes = shapes(self.tables.iter().map(|shape| shape()).collect());
            descriptor.options.push(("tables".to_owned(), shapes));
        }
        let is_said = descriptor.options.iter().any(|(key, _)| key == EVENT_PARTS);
        if self.parts != Parts::ALL && !is_said {
            let parts = (EVENT_PARTS.to_owned(), self.parts.names());
            descriptor.options.push(parts);
        }
        let nothing =
            self.handlers.is_empty() && self.wildcards.is_empty() && self.chunk_ends.is_empty();
        assert!(
            !nothing,
            "{} handles nothing: register a handler with on() or on_any()",
            descriptor.id
        );
        if !self.filter_given && !self.wants_all && !self.handlers.is_empty() {
            let mut types: Vec<String> = self
                .handlers
                .into_iter()
                .map(|(event_type, _)| event_type)
                .collect();
            types.sort_unstable();
            types.dedup();
            descriptor.filter = vec![Clause::types(types).into_wire()];
        }
        descriptor
    }

    pub(crate) fn set_up(&self) -> Result {
        self.setups.iter().try_for_each(|setup| setup(&Setup(())))?;
        in_hand::flush()
    }

    pub(crate) fn tear_down(&self) -> Result {
        self.teardowns
            .iter()
            .try_for_each(|teardown| teardown(&Setup(())))?;
        in_hand::flush()
    }

    /// The verdict about an event at which `handle` broke down; `Retry(0)` leaves it to the policy.
    pub fn recover(&self, event: Event, error: String, attempt: u32) -> Verdict {
        let failed = Recovery::new(event.into(), error, attempt);
        self.recovery.as_ref().map_or(Verdict::Retry(0), |decide| {
            recovery::verdict(decide(&failed))
        })
    }

    fn of(id: String, kind: Kind, run_mode: RunMode) -> Self {
        Subscriber {
            descriptor: Descriptor {
                id,
                kind,
                group: None,
                filter: Vec::new(),
                run_mode,
                partition_by: "none".to_owned(),
                lanes: 1,
                consistency: Consistency::Eventual,
                max_chunk: 0,
                options: Vec::new(),
            },
            wants_all: false,
            parts: Parts::NONE,
            filter_given: false,
            handlers: Vec::new(),
            wildcards: Vec::new(),
            prefetches: Vec::new(),
            chunk_ends: Vec::new(),
            tables: Vec::new(),
            setups: Vec::new(),
            teardowns: Vec::new(),
            recovery: None,
        }
    }
}

impl<S> fmt::Debug for Subscriber<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Subscriber")
            .field(&self.descriptor.id)
            .finish()
    }
}

fn call<S, A, H>(handler: H) -> Call<S>
where
    H: Handler<S, A, Output: Outcome>,
{
    Box::new(move |source| handler.call(source)?.into_result())
}
