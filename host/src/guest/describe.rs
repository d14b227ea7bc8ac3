//! Asking a component what it is, in a throw-away instance in which all our own imports trap.

use std::time::Instant;

use subscription::{Descriptor, Kind};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime::{Engine, Store, UpdateDeadline};

use super::bindings::ProcessorCore;
use super::check::Refusal;
use super::failure::{DeadlineExceeded, from_trap};
use super::imports::descriptor_from_guest;
use super::limits::{DESCRIBE_TIMEOUT, Limits};
use super::runtime::Runtime;
use super::state::State;
use super::wasi;

pub(super) async fn describe(
    runtime: &Runtime,
    component: &Component,
) -> Result<Descriptor, Refusal> {
    let failed = |reason: String| Refusal::DescribeFailed { reason };
    let mut linker: Linker<State> = Linker::new(runtime.engine());
    // A guest is described as a projector is run: nothing that differs from one machine to the next.
    wasi::add_to_linker(&mut linker, Kind::Projector)
        .map_err(|error| failed(format!("{error:#}")))?;
    trap_our_imports(runtime.engine(), component, &mut linker)
        .map_err(|error| failed(format!("{error:#}")))?;
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
    let found = match call(&mut store, component, &linker).await {
        Ok(found) => found,
        Err(error) => return Err(failed(from_trap(&error, store.data()).message)),
    };
    descriptor_from_guest(found).map_err(|reason| Refusal::BadDescriptor { reason })
}

/// Lets our own imports trap, and them alone: wasmtime's `define_unknown_imports_as_traps` would also put a trap before a
/// WASI of another 0.2 version than the linked one, and a guest that panics could not even say why.
fn trap_our_imports(
    engine: &Engine,
    component: &Component,
    linker: &mut Linker<State>,
) -> wasmtime::Result<()> {
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            continue;
        };
        if import.starts_with("wasi:") {
            continue;
        }
        let mut instance = linker.instance(import)?;
        for (name, item) in interface.exports(engine) {
            let called = format!("{import}#{name}");
            match item.ty {
                ComponentItem::ComponentFunc(_) => instance.func_new(name, move |_, _, _, _| {
                    Err(wasmtime::Error::msg(format!(
                        "`{called}` cannot be called in `describe`, which only says what the guest is"
                    )))
                })?,
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?
                }
                _ => {}
            }
        }
    }
    Ok(())
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
