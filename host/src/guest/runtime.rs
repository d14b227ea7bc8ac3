//! The WebAssembly engine of a host: one for all guests, with a ticker of its own so that no call runs for ever.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use subscription::Kind;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, EngineWeak, OptLevel};

use super::bindings::ProcessorCore;
use super::http::{self, Outbound};
use super::limits::MAX_STACK_BYTES;
use super::state::State;
use super::wasi;

/// How often a running guest looks whether its time is up, and lets others run.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The engine and what guests of each kind are linked with. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    projectors: Arc<Linker<State>>,
    processors: Arc<Linker<State>>,
    outbound: Outbound,
}

impl Runtime {
    /// Makes the engine and starts its ticker, which ends with the engine.
    pub fn new() -> wasmtime::Result<Runtime> {
        let engine = engine()?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(move || tick(&weak))?;
        Ok(Runtime {
            projectors: Arc::new(linker(&engine, Kind::Projector)?),
            processors: Arc::new(linker(&engine, Kind::Processor)?),
            engine,
            outbound: Outbound::new(),
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub(super) fn linker(&self, kind: Kind) -> &Linker<State> {
        match kind {
            Kind::Projector => &self.projectors,
            Kind::Processor => &self.processors,
        }
    }
}

/// The engine's settings; the compiling child process must use the same.
pub fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES)
        .async_stack_size(2 * MAX_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // Part of determinism: no bit of a NaN may depend on the machine.
        .cranelift_nan_canonicalization(true)
        // The `gc` feature is not compiled in, so neither garbage collection nor exceptions are, with all that is known
        // against them in this version.
        .gc_support(false)
        .memory_init_cow(true);
    Engine::new(&config)
}

fn linker(engine: &Engine, kind: Kind) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, kind)?;
    http::add_to_linker(&mut linker)?;
    ProcessorCore::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}
