//! Asking a guest what becomes of an event at which its `handle` broke down: its optional export `recovery`.

use subscription::Verdict;

use super::bindings::RECOVERY;
use super::bindings::projectionist::events::types::Event;
use super::bindings::projectionist::guest::types as guest;
use super::call::Call;
use super::failure::{Failure, from_trap};
use super::imports::event_to_guest;
use super::instance::{Instance, verdict_from_guest};
use super::limits::Limits;
use super::module::Module;
use super::state::CallContext;
use crate::store::RecordedEvent;

/// The name of the call, as people read it.
const CALL: &str = "on-failure";

/// What the guest makes of it.
#[derive(Clone, Debug)]
pub enum Recovered {
    /// The guest has no such export.
    NotAsked,
    Decided {
        verdict: Verdict,
        /// What the guest wants to find again at the next attempt, when it said so in this call.
        retry_context: Option<String>,
    },
    /// The call broke down as well.
    Failed(Box<Failure>),
}

/// Asks in a fresh instance without a batch, so that the call can do nothing to the database. It has as much time as
/// `handle` has.
pub async fn recover(
    module: &Module,
    context: CallContext,
    limits: Limits,
    event: RecordedEvent,
    error: &str,
) -> Recovered {
    let attempt = context.attempt;
    let mut instance = match Instance::with(module, context, limits, None).await {
        Ok(instance) => instance,
        Err(failure) => return Recovered::Failed(failure),
    };
    let mut running = instance.take();
    let Some(on_failure) =
        running.export::<(&Event, &str, u32), (guest::Verdict,)>((RECOVERY, CALL))
    else {
        return Recovered::NotAsked;
    };
    running.store.data_mut().chunk_end = Some(event.position);
    let event = event_to_guest(event);
    let error = error.to_owned();
    let call = Call::prepare(&mut running.store, CALL, limits.handle_timeout_ms);
    let timed = call.clone();
    let asked = call.run(async move {
        let asked = on_failure.call_async(&mut running.store, (&event, &error, attempt));
        let answer = timed.timed(asked).await;
        (running, answer)
    });
    let (running, answer) = asked.await;
    match answer {
        Ok((verdict,)) => Recovered::Decided {
            verdict: verdict_from_guest(verdict),
            retry_context: running.store.data().new_retry_context.clone(),
        },
        Err(error) => Recovered::Failed(from_trap(&error, running.store.data())),
    }
}
