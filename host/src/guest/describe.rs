//! Asking a component what it is, in a throw-away instance without a batch and without a context: all our own imports
//! that need one of them trap.

use std::time::Instant;

use subscription::{Descriptor, Kind};
use wasmtime::component::{Component, Linker};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::ProcessorCore;
use super::check::Refusal;
use super::failure::{DeadlineExceeded, from_trap};
use super::imports::descriptor_from_guest;
use super::limits::{DESCRIBE_TIMEOUT, Limits};
use super::runtime::Runtime;
use super::state::State;

pub(super) async fn describe(
    runtime: &Runtime,
    component: &Component,
) -> Result<Descriptor, Refusal> {
    let failed = |reason: String| Refusal::DescribeFailed { reason };
    // A guest is described as a projector is run: nothing that differs from one machine to the next. Stubs for what is
    // missing (`define_unknown_imports_as_traps`) are no way: they hide WASI from a guest built for another 0.2 version.
    let linker = runtime.linker(Kind::Projector);
    let mut store = Store::new(runtime.engine(), State::new(None, None, &Limits::default()));
    store.limiter(|state| &mut state.meter);
    store.data_mut().deadline = Instant::now() + DESCRIBE_TIMEOUT;
    store.set_epoch_deadline(1);
    let limit_ms = DESCRIBE_TIMEOUT.as_millis() as u64;
    store.epoch_deadline_callback(move |context| {
        if Instant::now() >= context.data().deadline {
            return Err(DeadlineExceeded {
                call: "describe",
                limit_ms,
            }
            .into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let found = match call(&mut store, component, linker).await {
        Ok(found) => found,
        Err(error) => return Err(failed(from_trap(&error, store.data()).message)),
    };
    descriptor_from_guest(found).map_err(|reason| Refusal::BadDescriptor { reason })
}

async fn call(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
) -> wasmtime::Result<super::bindings::projectionist::guest::types::Descriptor> {
    let bindings = ProcessorCore::instantiate_async(&mut *store, component, linker).await?;
    bindings
        .projectionist_guest_description()
        .call_describe(&mut *store)
        .await
}
