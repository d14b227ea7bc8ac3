//! The inert WASI that every guest gets: plain toolchain output imports it without using it.
//!
//! No environment, no arguments, no files, no sockets. Output is captured. A projector's clocks stand still and its
//! hash seeds are constant; asking for randomness fails with a message. A processor has real clocks and randomness.

use std::time::Duration;

use subscription::Kind;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiView,
};

use super::output::Output;
use super::state::State;

/// The seed of every hash map in a projector: any constant will do, as long as it stays.
const HASH_SEED: u128 = 0x7072_6f6a_6563_7469_6f6e_6973_7400_0001;

pub(super) fn context(kind: Kind, output: Output) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(output.clone())
        .stderr(output)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if kind == Kind::Projector {
        builder
            .wall_clock(StoppedClock)
            .monotonic_clock(StoppedClock)
            .insecure_random_seed(HASH_SEED);
        builder.insecure_random(Deterministic::new(vec![0x5a]));
    }
    builder.build()
}

/// A clock that stands at the epoch: in a projector time comes from the event.
struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Links the interfaces one by one: sockets are not among them, and HTTP is linked elsewhere.
pub(super) fn add_to_linker(linker: &mut Linker<State>, kind: Kind) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
    use wasmtime_wasi_io::bindings::wasi::io;

    io::error::add_to_linker::<State, HasIo>(linker, |state| state.ctx().table)?;
    io::poll::add_to_linker::<State, HasIo>(linker, |state| state.ctx().table)?;
    io::streams::add_to_linker::<State, HasIo>(linker, |state| state.ctx().table)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    match kind {
        Kind::Processor => {
            random::random::add_to_linker::<State, WasiRandom>(linker, State::random)?
        }
        Kind::Projector => refuse_randomness(linker)?,
    }
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    Ok(())
}

/// A projector that asks for randomness gets a message, not a number: its read model would differ at every rebuild.
fn refuse_randomness(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    const MESSAGE: &str = "a projector asked for randomness, which would make its read model differ at every rebuild; take such values from events";
    let mut random = linker.instance("wasi:random/random@0.2.6")?;
    random.func_wrap(
        "get-random-bytes",
        |_, (_length,): (u64,)| -> wasmtime::Result<(Vec<u8>,)> {
            Err(wasmtime::Error::msg(MESSAGE))
        },
    )?;
    random.func_wrap("get-random-u64", |_, (): ()| -> wasmtime::Result<(u64,)> {
        Err(wasmtime::Error::msg(MESSAGE))
    })
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = &'a mut ResourceTable;
}
