//! Outbound HTTP, for processors alone: to origins that the operator lists, with secrets that the guest never sees.
//!
//! A guest speaks wasi:http. What it asks for is decided in `hooks`, leaves through `errand`, and comes back through `body`.

mod address;
mod body;
mod errand;
mod hooks;
mod names;
mod origin;
mod outbound;
mod secret;
mod settings;
mod tls;
mod told;

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView};

use self::body::Until;
use self::hooks::Hooks;
use super::limits::{Limits, MAX_HTTP_HEADER_BYTES};
use super::state::{CallContext, State};

pub use self::names::NAMES_VARIABLE;
pub(super) use self::outbound::Outbound;
pub use self::settings::HttpSettings;

/// What one instance of a guest has of HTTP. Nothing leaves outside of `handle`.
pub(super) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

impl Http {
    pub fn new(outbound: &Outbound, context: Option<&CallContext>, limits: &Limits) -> Http {
        let mut own = WasiHttpCtx::new();
        // Of one list of headers; wasmtime counts what they take in memory.
        own.set_field_size_limit(2 * MAX_HTTP_HEADER_BYTES);
        Http {
            context: own,
            hooks: Hooks::new(outbound, context, limits),
        }
    }

    /// A call of `handle` begins: requests may leave until it has to be back.
    pub fn open(&mut self, limit_ms: u64) {
        self.hooks.call = Some(Until {
            at: Instant::now() + Duration::from_millis(limit_ms),
            limit: "handle-timeout-ms",
            value_ms: limit_ms,
        });
    }

    /// The call is over.
    pub fn close(&mut self) {
        self.hooks.call = None;
    }

    /// What the host has to say about requests of this batch.
    pub fn notes(&self) -> Option<String> {
        self.hooks.notes.text()
    }
}

/// Offers wasi:http, without the part that answers requests. A guest of either kind is described with it; who may import
/// it is checked by name.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = types::LinkOptions::default();
    types::add_to_linker::<State, WasiHttp>(linker, &options, State::http_view)?;
    outgoing_handler::add_to_linker::<State, WasiHttp>(linker, State::http_view)
}

impl State {
    fn http_view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http.hooks,
            table: &mut self.resources,
            ctx: &mut self.http.context,
        }
    }
}
