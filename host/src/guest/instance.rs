//! A fresh instance of a guest for one batch: calls with a deadline, and what becomes of the batch when one fails.

use std::time::{Duration, Instant};

use subscription::{ErrorClass, Kind, Verdict};
use wasmtime::component::{ComponentNamedList, Instance as RawInstance, Lift, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::projectionist::guest::types as guest;
use super::bindings::{LIFECYCLE, ProcessorCore};
use super::failure::{DeadlineExceeded, Failure, from_trap};
use super::imports::{Cause, event_to_guest};
use super::limits::{Limits, MAX_HOST_CALL_BYTES};
use super::module::Module;
use super::state::{CallContext, State};
use crate::store::{Batch, GuestError, RecordedEvent};

/// Time that a call may take beyond its deadline before it is cut off from outside: a host call that waits for the
/// database does not see epochs.
const GRACE: Duration = Duration::from_millis(250);

/// An instance with its open batch. Dropping it rolls the batch back.
pub struct Instance {
    store: Store<State>,
    raw: RawInstance,
    bindings: ProcessorCore,
    limits: Limits,
}

impl Instance {
    /// Instantiates the module for one batch.
    pub async fn start(
        module: &Module,
        context: CallContext,
        limits: Limits,
        batch: Box<Batch>,
    ) -> Result<Instance, Box<Failure>> {
        let mut store = Store::new(
            module.instance().engine(),
            State::new(Some(context), Some(batch), &limits),
        );
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(MAX_HOST_CALL_BYTES);
        arm(&mut store, "instantiation", limits.handle_timeout_ms);
        let raw = match module.instance().instantiate_async(&mut store).await {
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
        let answer =
            match tokio::time::timeout(Duration::from_millis(timeout_ms) + GRACE, call).await {
                Ok(answer) => answer,
                Err(_) => Err(DeadlineExceeded {
                    call: "handle",
                    limit_ms: timeout_ms,
                }
                .into()),
            };
        match answer {
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

    /// The batch, to be committed.
    pub fn into_batch(self) -> Box<Batch> {
        self.store
            .into_data()
            .batch
            .expect("the batch stays with its instance until here")
    }

    async fn lifecycle(&mut self, name: &'static str) -> Result<(), Box<Failure>> {
        let Some(function) = self.optional::<(Result<(), String>,)>(LIFECYCLE, name) else {
            return Ok(());
        };
        let timeout_ms = self.limits.setup_timeout_ms;
        arm(&mut self.store, name, timeout_ms);
        let call = function.call_async(&mut self.store, ());
        let answer =
            match tokio::time::timeout(Duration::from_millis(timeout_ms) + GRACE, call).await {
                Ok(answer) => answer,
                Err(_) => Err(DeadlineExceeded {
                    call: name,
                    limit_ms: timeout_ms,
                }
                .into()),
            };
        match answer {
            Err(error) => Err(self.trapped(&error)),
            Ok((Err(message),)) => Err(self.said(ErrorClass::GuestFailed, message)),
            Ok((Ok(()),)) => self.check_transaction(),
        }
    }

    /// An export that a guest need not have.
    fn optional<R>(&mut self, interface: &str, function: &str) -> Option<TypedFunc<(), R>>
    where
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
            Some(error) => Err(self.said(class_of(error), database_message(error))),
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
            Some(error) => class_of(error),
            None => ErrorClass::GuestFailed,
        };
        Err(Box::new(Failure {
            handled: Some(failure.handled),
            verdict: Some(match failure.verdict {
                guest::Verdict::Retry(after_ms) => Verdict::Retry {
                    after_ms: after_ms.into(),
                },
                guest::Verdict::Skip => Verdict::Skip,
                guest::Verdict::Stop => Verdict::Stop,
            }),
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
            Some(error) if error.retryable => {
                Err(self.said(ErrorClass::Unavailable, database_message(error)))
            }
            _ => Ok(()),
        }
    }

    fn trapped(&self, error: &wasmtime::Error) -> Box<Failure> {
        self.check_unavailable()
            .err()
            .unwrap_or_else(|| from_trap(error, self.store.data()))
    }

    fn said(&self, class: ErrorClass, message: String) -> Box<Failure> {
        let state = self.store.data();
        Box::new(Failure {
            output: state.output_text(),
            retry_context: state.new_retry_context.clone(),
            ..*Failure::new(class, message)
        })
    }
}

fn arm(store: &mut Store<State>, call: &'static str, limit_ms: u64) {
    store.data_mut().deadline = Instant::now() + Duration::from_millis(limit_ms);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |context| {
        if Instant::now() >= context.data().deadline {
            return Err(DeadlineExceeded { call, limit_ms }.into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
}

fn class_of(error: &GuestError) -> ErrorClass {
    if error.retryable {
        ErrorClass::Unavailable
    } else {
        ErrorClass::Sql
    }
}

fn database_message(error: &GuestError) -> String {
    match &error.sqlstate {
        Some(sqlstate) => format!(
            "a statement failed: {} (SQLSTATE {sqlstate})",
            error.message
        ),
        None => format!("a statement failed: {}", error.message),
    }
}
