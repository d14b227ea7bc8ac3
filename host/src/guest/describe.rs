//! Asking a component what it is, in a throw-away instance without a batch and without a context: all our own imports
//! that need one of them trap.

use subscription::{Descriptor, Kind};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use super::bindings::ProcessorCore;
use super::call::Call;
use super::check::Refusal;
use super::failure::from_trap;
use super::imports::descriptor_from_guest;
use super::limits::{DESCRIBE_TIMEOUT_MS, Limits};
use super::runtime::Runtime;
use super::state::{State, new_store};

pub(super) async fn describe(
    runtime: &Runtime,
    component: &Component,
) -> Result<Descriptor, Refusal> {
    let failed = |reason: String| Refusal::DescribeFailed { reason };
    // A guest is described as a projector is run: nothing that differs from one machine to the next. Stubs for what is
    // missing (`define_unknown_imports_as_traps`) are no way: they hide WASI from a guest built for another 0.2 version.
    let linker = runtime.linker(Kind::Projector).clone();
    let component = component.clone();
    let state = State::new(None, None, &Limits::default(), runtime.outbound());
    let mut store = new_store(runtime.engine(), state);
    let guarded = Call::prepare(&mut store, "describe", DESCRIBE_TIMEOUT_MS);
    let timed = guarded.clone();
    let described = guarded.run(async move {
        let found = timed.timed(call(&mut store, &component, &linker)).await;
        (store, found)
    });
    let found = match described.await {
        (_, Ok(found)) => found,
        (store, Err(error)) => return Err(failed(from_trap(&error, store.data()).message)),
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
