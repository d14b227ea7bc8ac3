//! A fresh instance of a guest for one batch: calls with a deadline, and what becomes of the batch when one fails.

use std::future::Future;
use std::time::{Duration, Instant};

use subscription::{ErrorClass, Kind, Verdict};
use wasmtime::component::{ComponentNamedList, Instance as RawInstance, Lift, Lower, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::projectionist::guest::types as guest;
use super::bindings::{LIFECYCLE, ProcessorCore};
use super::failure::{DeadlineExceeded, Failure, from_trap};
use super::imports::{Cause, event_to_guest};
use super::limits::{Limits, MAX_HOST_CALL_BYTES};
use super::module::Module;
use super::state::{CallContext, Said, State};
use crate::store::{Batch, GuestError, RecordedEvent};

/// Time that a call may take beyond its deadline before it is cut off from outside: a host call that waits for the
/// database does not see epochs.
const GRACE: Duration = Duration::from_millis(250);

const STATEMENT_FAILED: &str = "a statement failed";

/// An instance with its open batch. Dropping it rolls the batch back.
pub struct Instance {
    pub(super) store: Store<State>,
    raw: RawInstance,
    bindings: ProcessorCore,
    pub(super) limits: Limits,
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

    /// The same, with or without a batch.
    pub(super) async fn with(
        module: &Module,
        context: CallContext,
        limits: Limits,
        batch: Option<Box<Batch>>,
    ) -> Result<Instance, Box<Failure>> {
        let mut store = Store::new(
            module.instance().engine(),
            State::new(Some(context), batch, &limits),
        );
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(MAX_HOST_CALL_BYTES);
        let timeout_ms = limits.handle_timeout_ms;
        arm(&mut store, "instantiation", timeout_ms);
        let instantiated = module.instance().instantiate_async(&mut store);
        let raw = match within("instantiation", timeout_ms, instantiated).await {
            Ok(raw) => raw,
            Err(error) => return Err(from_trap(&error, store.data())),
        };
        match ProcessorCore::new(&mut store, &raw) {
            Ok(bindings) => Ok(Instance {
                store,
                raw,
                bindings,
                limits,
            }),
            Err(error) => Err(from_trap(&error, store.data())),
        }
    }

    /// Hands a chunk of events to the guest. After an error the instance is spent.
    pub async fn handle(&mut self, events: Vec<RecordedEvent>) -> Result<(), Box<Failure>> {
        let state = self.store.data_mut();
        state.chunk_end = events.last().map(|event| event.position);
        // A projector appends nothing, so its events are no causes.
        let causing = match state.context() {
            Ok(context) if context.kind == Kind::Processor => &events[..],
            _ => &[],
        };
        state.causes = causing
            .iter()
            .map(|event| {
                (
                    event.position.unsigned_abs(),
                    Cause {
                        id: event.id,
                        correlation_id: event.correlation_id,
                    },
                )
            })
            .collect();
        let events: Vec<_> = events.into_iter().map(event_to_guest).collect();
        let timeout_ms = self.limits.handle_timeout_ms;
        arm(&mut self.store, "handle", timeout_ms);
        let handler = self.bindings.projectionist_guest_handler();
        let call = handler.call_handle(&mut self.store, &events);
        match within("handle", timeout_ms, call).await {
            Err(error) => Err(self.trapped(&error)),
            Ok(answer) => self.judge(answer),
        }
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
        self.store.data().new_retry_context.clone()
    }

    /// What the guest logged.
    pub fn logged(&self) -> Said {
        self.store.data().said.clone()
    }

    /// Writes what is buffered, and gives the batch back, to be committed.
    pub async fn finish(mut self) -> Result<Box<Batch>, Box<Failure>> {
        if let Some(batch) = self.store.data_mut().batch.as_deref_mut()
            && let Err(error) = batch.flush().await
        {
            let failure = Failure::of_database("what the guest wrote was refused", &error);
            return Err(self.with_words(failure));
        }
        Ok(self.into_batch())
    }

    /// The batch, to be committed.
    pub fn into_batch(self) -> Box<Batch> {
        self.store
            .into_data()
            .batch
            .expect("the batch stays with its instance until here")
    }

    async fn lifecycle(&mut self, name: &'static str) -> Result<(), Box<Failure>> {
        let Some(function) = self.optional::<(), (Result<(), String>,)>(LIFECYCLE, name) else {
            return Ok(());
        };
        let timeout_ms = self.limits.setup_timeout_ms;
        arm(&mut self.store, name, timeout_ms);
        let call = function.call_async(&mut self.store, ());
        match within(name, timeout_ms, call).await {
            Err(error) => Err(self.trapped(&error)),
            Ok((Err(message),)) => Err(self.said(ErrorClass::GuestFailed, message)),
            Ok((Ok(()),)) => self.check_transaction(),
        }
    }

    /// An export that a guest need not have.
    pub(super) fn optional<P, R>(
        &mut self,
        interface: &str,
        function: &str,
    ) -> Option<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let interface = self
            .raw
            .get_export_index(&mut self.store, None, interface)?;
        let function = self
            .raw
            .get_export_index(&mut self.store, Some(&interface), function)?;
        self.raw.get_typed_func(&mut self.store, function).ok()
    }

    /// A guest that says all is well while a statement of its failed has not handled anything.
    fn check_transaction(&self) -> Result<(), Box<Failure>> {
        match self
            .store
            .data()
            .batch
            .as_ref()
            .and_then(|batch| batch.aborted())
        {
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
            .map(|(key, value)| format!("\n  {key}: {value}"))
            .collect();
        let class = match self
            .store
            .data()
            .batch
            .as_ref()
            .and_then(|batch| batch.aborted())
        {
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
        match self
            .store
            .data()
            .batch
            .as_ref()
            .and_then(|batch| batch.aborted())
        {
            Some(error) if error.retryable => Err(self.database_failed(error)),
            _ => Ok(()),
        }
    }

    fn trapped(&self, error: &wasmtime::Error) -> Box<Failure> {
        self.check_unavailable()
            .err()
            .unwrap_or_else(|| from_trap(error, self.store.data()))
    }

    fn said(&self, class: ErrorClass, message: String) -> Box<Failure> {
        self.with_words(Failure::new(class, message))
    }

    fn database_failed(&self, error: &GuestError) -> Box<Failure> {
        self.with_words(Failure::of_database(STATEMENT_FAILED, error))
    }

    /// A failure with what the guest wrote and what it wants to find again.
    fn with_words(&self, mut failure: Box<Failure>) -> Box<Failure> {
        let state = self.store.data();
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

/// The outer bound of a call: epochs do not end a call of the host that waits.
pub(super) async fn within<T>(
    call: &'static str,
    limit_ms: u64,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    match tokio::time::timeout(Duration::from_millis(limit_ms) + GRACE, work).await {
        Ok(answer) => answer,
        Err(_) => Err(DeadlineExceeded { call, limit_ms }.into()),
    }
}

pub(super) fn arm(store: &mut Store<State>, call: &'static str, limit_ms: u64) {
    store.data_mut().deadline = Instant::now() + Duration::from_millis(limit_ms);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |context| {
        if Instant::now() >= context.data().deadline {
            return Err(DeadlineExceeded { call, limit_ms }.into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
}
