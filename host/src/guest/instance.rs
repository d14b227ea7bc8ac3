//! A fresh instance of a guest for one batch: calls with a deadline, and what becomes of the batch when one fails.

use std::sync::Arc;
use std::time::Duration;

use subscription::{ErrorClass, EventParts, Verdict};
use wasmtime::Store;
use wasmtime::component::{
    ComponentNamedList, Func, Instance as RawInstance, Lift, Lower, TypedFunc,
};

use super::bindings::projectionist::guest::types as guest;
use super::bindings::{BATCH, CHUNK_HANDLER, DESCRIPTION, HANDLER, LIFECYCLE};
use super::call::Call;
use super::failure::{DeadlineExceeded, Failure, from_trap};
use super::imports::{Chunk, HandedEvent, Ids, hand};
use super::limits::{Limits, MAX_FAILURE_DETAILS, WARM_UP_TIMEOUT_MS};
use super::module::Module;
use super::state::{CallContext, Said, State, new_store};
use crate::store::{Batch, GuestError, KeptRows, RecordedEvent};

const STATEMENT_FAILED: &str = "a statement failed";

/// An instance with its open batch. Dropping it rolls the batch back.
pub struct Instance {
    /// None while a call is under way, and for good when that call was given up.
    running: Option<Box<Running>>,
    pub(super) limits: Limits,
}

/// What a call needs wherever it runs.
pub(super) struct Running {
    pub(super) store: Store<State>,
    raw: RawInstance,
    /// What every batch calls.
    found: [(Name, Option<Func>); 2],
}

/// Of an interface, and of a function of it.
type Name = (&'static str, &'static str);

const HANDLE_CHUNK: Name = (CHUNK_HANDLER, "handle-chunk");
const FINISH: Name = (BATCH, "finish");

impl Running {
    /// Looks up what every batch calls: to find it by its names takes a while, for which no event has to wait where an instance was made
    /// before it came.
    fn new(mut store: Store<State>, raw: RawInstance) -> Running {
        let found = [HANDLE_CHUNK, FINISH].map(|name| (name, look_up(&raw, &mut store, name)));
        Running { store, raw, found }
    }

    /// Hands over the events in the way that costs least of those which the guest has. The exports are typed anew, because the
    /// generated types cannot hand over events from where they are.
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        parts: EventParts,
    ) -> wasmtime::Result<Result<(), guest::Failure>> {
        type Handled = (Result<(), guest::Failure>,);
        if let Some(handle) = self.export::<(&Chunk,), Handled>(HANDLE_CHUNK) {
            let chunk = Chunk::of(events, parts);
            let (answer,) = handle.call_async(&mut self.store, (&chunk,)).await?;
            return Ok(answer);
        }
        let missing =
            || wasmtime::Error::msg("the export `handle` was there when the module was checked");
        let handle = self.export::<(&[HandedEvent<'_>],), Handled>((HANDLER, "handle"));
        let handle = handle.ok_or_else(missing)?;
        let ids = Ids::of(events, parts);
        let handed = hand(events, &ids, parts);
        let (answer,) = handle.call_async(&mut self.store, (&handed,)).await?;
        Ok(answer)
    }

    /// A function that the guest exports, if it does.
    pub(super) fn export<P, R>(&mut self, name: Name) -> Option<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let found = self.found.iter().find(|(of, _)| *of == name);
        let function = match found {
            Some((_, function)) => *function,
            None => look_up(&self.raw, &mut self.store, name),
        };
        function?.typed(&self.store).ok()
    }
}

fn look_up(
    raw: &RawInstance,
    store: &mut Store<State>,
    (interface, function): Name,
) -> Option<Func> {
    let interface = raw.get_export_index(&mut *store, None, interface)?;
    let function = raw.get_export_index(&mut *store, Some(&interface), function)?;
    raw.get_func(&mut *store, function)
}

impl Instance {
    /// Instantiates the module for one batch.
    pub async fn start(
        module: &Module,
        context: CallContext,
        limits: Limits,
        batch: Box<Batch>,
    ) -> Result<Instance, Box<Failure>> {
        Instance::with(module, context, limits, Some(batch)).await
    }

    /// The same before the batch is there, which the instance [takes on](Instance::take_on) later. A guest that asks for it already
    /// cannot be started like that.
    pub async fn start_early(
        module: &Module,
        context: CallContext,
        limits: Limits,
    ) -> Result<Instance, Box<Failure>> {
        Instance::with(module, context, limits, None).await
    }

    /// The same, with or without a batch.
    pub(super) async fn with(
        module: &Module,
        context: CallContext,
        limits: Limits,
        batch: Option<Box<Batch>>,
    ) -> Result<Instance, Box<Failure>> {
        let ready = module.instance().clone();
        let mut state = State::new(Some(context), batch, &limits, module.outbound());
        state.parts = module.descriptor().event_parts();
        let mut store = new_store(ready.engine(), state);
        let call = Call::prepare(&mut store, "instantiation", limits.handle_timeout_ms);
        let timed = call.clone();
        let started = call.run(async move {
            let started = timed.timed(async { ready.instantiate_async(&mut store).await });
            let started = started.await;
            (store, started)
        });
        match started.await {
            (store, Ok(raw)) => Ok(Instance {
                running: Some(Box::new(Running::new(store, raw))),
                limits,
            }),
            (mut store, Err(error)) => {
                let failure = from_trap(&error, store.data());
                abandon(&mut store).await;
                Err(failure)
            }
        }
    }

    /// Lets a guest that waits for its batch say what it is once more: the pages of its memory that any call needs are there then. What it
    /// answers is of no interest, and what it logs nobody hears. After an error the instance is spent.
    pub async fn warm_up(&mut self) -> Result<(), Box<Failure>> {
        type Described = guest::Descriptor;
        let described =
            self.call_optional::<Described>((DESCRIPTION, "describe"), WARM_UP_TIMEOUT_MS);
        if let Some(Err(error)) = described.await {
            return Err(self.trapped(&error));
        }
        if let Some(running) = &mut self.running {
            running.store.data_mut().said = Said::default();
        }
        Ok(())
    }

    /// Hands a chunk of events to the guest. After an error the instance is spent.
    pub async fn handle(&mut self, events: Vec<RecordedEvent>) -> Result<(), Box<Failure>> {
        let mut running = self.take();
        let events = Arc::new(events);
        let state = running.store.data_mut();
        let parts = state.parts;
        state.chunk_end = events.last().map(|event| event.position);
        state.in_hand = Arc::clone(&events);
        state.http.open(self.limits.handle_timeout_ms);
        let call = Call::prepare(&mut running.store, "handle", self.limits.handle_timeout_ms);
        let timed = call.clone();
        let handled = call.run(async move {
            let answer = timed.timed(running.handle(&events, parts)).await;
            (running, answer)
        });
        let (mut running, answer) = handled.await;
        running.store.data_mut().http.close();
        self.running = Some(running);
        let judged = match answer {
            Err(error) => Err(self.trapped(&error)),
            Ok(answer) => self.judge(answer),
        };
        self.abandoned_if_failed(judged).await
    }

    /// Runs `setup` if the guest has one. After an error the instance is spent.
    pub async fn setup(&mut self) -> Result<(), Box<Failure>> {
        self.lifecycle("setup").await
    }

    /// Runs `teardown` if the guest has one. After an error the instance is spent.
    pub async fn teardown(&mut self) -> Result<(), Box<Failure>> {
        self.lifecycle("teardown").await
    }

    /// What the guest wants to find again at the next attempt.
    pub fn retry_context(&self) -> Option<String> {
        self.state().new_retry_context.clone()
    }

    /// How many statements the guest ran, as far as they count where it is asked whether a batch is full; all of them if it comes near a limit.
    pub fn statements(&self) -> u64 {
        let State {
            allowance, batch, ..
        } = self.state();
        let light = batch.as_ref().map_or(0, |batch| batch.light_statements());
        let light = if allowance.is_ample() { light } else { 0 };
        allowance.statements_run().saturating_sub(light)
    }

    /// Whether some of its statements were answered before they were run.
    pub fn answered_early(&self) -> bool {
        self.state().answered_early
    }

    /// What the guest logged.
    pub fn logged(&self) -> Said {
        self.state().said.clone()
    }

    /// Gives its batch to an instance that was started without one.
    pub fn take_on(&mut self, batch: Box<Batch>) {
        if let Some(running) = &mut self.running {
            running.store.data_mut().batch = Some(batch);
        }
    }

    /// Tells the guest that no call follows, and [writes out](Instance::write_out) what it left.
    pub async fn finish(&mut self) -> Result<Box<Batch>, Box<Failure>> {
        self.close().await?;
        self.write_out().await
    }

    /// Gives what the batch knows of rows to the next one, which begins before this one is written out; see [`Batch::part_with_rows`].
    pub fn part_with_rows(&mut self, to: i64) -> Option<KeptRows> {
        let running = self.running.as_mut()?;
        let batch = running.store.data_mut().batch.as_deref_mut()?;
        // What cannot be written is told where it is written.
        batch.part_with_rows(to).ok().flatten()
    }

    /// Writes what is buffered, for as long as a call may take, and gives the batch back, to be committed. The instance is spent then. To drop
    /// it takes a moment, in which its memory is unmapped: nobody should have to wait for that.
    pub async fn write_out(&mut self) -> Result<Box<Batch>, Box<Failure>> {
        let limit_ms = self.limits.handle_timeout_ms;
        let running = self.running.as_mut();
        let batch = running.and_then(|running| running.store.data_mut().batch.as_deref_mut());
        let flushed = match batch {
            None => Ok(()),
            Some(batch) => {
                let limit = Duration::from_millis(limit_ms);
                match tokio::time::timeout(limit, batch.flush()).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => {
                        let what = "what the guest wrote was refused";
                        Err(Failure::of_database(what, &error))
                    }
                    Err(_) => {
                        let call = "writing its rows and events";
                        let exceeded = DeadlineExceeded { call, limit_ms };
                        Err(Failure::new(ErrorClass::Deadline, exceeded.to_string()))
                    }
                }
            }
        };
        let flushed = flushed.map_err(|failure| self.with_words(failure));
        self.abandoned_if_failed(flushed).await?;
        let running = self.running.as_mut();
        let state = running
            .expect("a call that was given up takes its instance with it")
            .store
            .data_mut();
        if let (Some(notes), Ok(context)) = (state.http.notes(), state.context()) {
            let subscription = &context.subscriber_id;
            tracing::warn!(
                subscription,
                "{subscription} went on without an answer: {notes}"
            );
        }
        Ok(state
            .batch
            .take()
            .expect("the batch stays with its instance until here"))
    }

    /// Tells the guest that no call follows, through its optional export `finish`. An error goes for no event in particular.
    pub async fn close(&mut self) -> Result<(), Box<Failure>> {
        let limit_ms = self.limits.handle_timeout_ms;
        let judged = match self.call_optional(FINISH, limit_ms).await {
            None => return Ok(()),
            Some(Err(error)) => Err(self.trapped(&error)),
            Some(Ok(answer)) => self.judge(answer).map_err(|mut failure| {
                failure.handled = None;
                failure
            }),
        };
        self.abandoned_if_failed(judged).await
    }

    async fn lifecycle(&mut self, name: &'static str) -> Result<(), Box<Failure>> {
        let limit_ms = self.limits.setup_timeout_ms;
        let judged = match self.call_optional((LIFECYCLE, name), limit_ms).await {
            None => return Ok(()),
            Some(Err(error)) => Err(self.trapped(&error)),
            Some(Ok(Err(message))) => Err(self.said(ErrorClass::GuestFailed, message)),
            Some(Ok(Ok(()))) => self.check_transaction(),
        };
        self.abandoned_if_failed(judged).await
    }

    /// Calls an export without arguments that a guest need not have.
    async fn call_optional<R>(&mut self, name: Name, limit_ms: u64) -> Option<wasmtime::Result<R>>
    where
        (R,): ComponentNamedList + Lift,
        R: Send + 'static,
    {
        let function = self.running.as_mut()?.export::<(), (R,)>(name)?;
        let mut running = self.take();
        let call = Call::prepare(&mut running.store, name.1, limit_ms);
        let timed = call.clone();
        let called = call.run(async move {
            let answer = timed
                .timed(function.call_async(&mut running.store, ()))
                .await;
            (running, answer)
        });
        let (running, answer) = called.await;
        self.running = Some(running);
        Some(answer.map(|(answer,)| answer))
    }

    /// After a failure the lane is free before anybody hears of it.
    async fn abandoned_if_failed(
        &mut self,
        judged: Result<(), Box<Failure>>,
    ) -> Result<(), Box<Failure>> {
        if judged.is_err()
            && let Some(running) = &mut self.running
        {
            abandon(&mut running.store).await;
        }
        judged
    }

    /// What a call takes along; it brings it back.
    pub(super) fn take(&mut self) -> Box<Running> {
        self.running
            .take()
            .expect("a call that was given up takes its instance with it")
    }

    fn state(&self) -> &State {
        let running = self.running.as_ref();
        running
            .expect("a call that was given up takes its instance with it")
            .store
            .data()
    }

    /// The error that aborted the transaction, if a statement failed.
    fn aborted(&self) -> Option<&GuestError> {
        self.state().batch.as_ref()?.aborted()
    }

    /// A guest that says all is well while a statement of its failed has not handled anything.
    fn check_transaction(&self) -> Result<(), Box<Failure>> {
        match self.aborted() {
            None => Ok(()),
            Some(error) => Err(self.database_failed(error)),
        }
    }

    fn judge(&self, answer: Result<(), guest::Failure>) -> Result<(), Box<Failure>> {
        self.check_unavailable()?;
        let Err(failure) = answer else {
            return self.check_transaction();
        };
        let details: String = failure
            .details
            .iter()
            .take(MAX_FAILURE_DETAILS)
            .map(|(key, value)| format!("\n  {key}: {value}"))
            .collect();
        let class = match self.aborted() {
            Some(error) => Failure::of_database(STATEMENT_FAILED, error).class,
            None => ErrorClass::GuestFailed,
        };
        Err(Box::new(Failure {
            handled: Some(failure.handled),
            verdict: Some(verdict_from_guest(failure.verdict)),
            ..*self.said(class, format!("{}{details}", failure.message))
        }))
    }

    /// The database's own trouble is never the guest's failure, whatever the guest makes of it.
    fn check_unavailable(&self) -> Result<(), Box<Failure>> {
        match self.aborted() {
            Some(error) if error.retryable => Err(self.database_failed(error)),
            _ => Ok(()),
        }
    }

    fn trapped(&self, error: &wasmtime::Error) -> Box<Failure> {
        self.check_unavailable()
            .err()
            .unwrap_or_else(|| from_trap(error, self.state()))
    }

    fn said(&self, class: ErrorClass, message: String) -> Box<Failure> {
        self.with_words(Failure::new(class, message))
    }

    fn database_failed(&self, error: &GuestError) -> Box<Failure> {
        self.with_words(Failure::of_database(STATEMENT_FAILED, error))
    }

    /// A failure with what the guest wrote and what it wants to find again.
    fn with_words(&self, mut failure: Box<Failure>) -> Box<Failure> {
        let state = self.state();
        failure.message = state.with_notes(failure.message);
        failure.output = state.output_text();
        failure.retry_context.clone_from(&state.new_retry_context);
        failure
    }
}

pub(super) fn verdict_from_guest(verdict: guest::Verdict) -> Verdict {
    match verdict {
        guest::Verdict::Retry(after_ms) => Verdict::Retry {
            after_ms: after_ms.into(),
        },
        guest::Verdict::Skip => Verdict::Skip,
        guest::Verdict::Stop => Verdict::Stop,
    }
}

/// Ends the batch of a call that failed.
async fn abandon(store: &mut Store<State>) {
    if let Some(batch) = store.data_mut().batch.take() {
        batch.abandon().await;
    }
}
