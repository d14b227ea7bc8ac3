//! What the host keeps for one instance of a guest: the open batch, the event in hand, the limits used so far.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use subscription::{EventParts, Kind};
use wasmtime::Engine;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::allowance::Allowance;
use super::http::{Http, HttpSettings, Outbound};
use super::limits::{HOST_CALL_MIB, Limits, MAX_LAST_LINES, MAX_RESOURCES, Meter, mib};
use super::output::Output;
use super::settings::Settings;
use super::wasi;
use crate::store::{Batch, RecordedEvent, Store, Subscription};

/// Who the guest is and where its subscription stands; the answers of the `context` and `config` imports.
#[derive(Clone)]
pub struct CallContext {
    pub subscriber_id: String,
    pub line: String,
    pub kind: Kind,
    /// False until the subscription has been at the horizon once.
    pub live: bool,
    /// It goes through history for its state alone: what it appends is dropped, and no request leaves the host.
    pub muted: bool,
    /// 1 on the first delivery.
    pub attempt: u32,
    pub retry_context: Option<String>,
    /// It runs once, and what it logs is part of what it has to say.
    pub reports: bool,
    /// What the operator set for the guest to read.
    pub settings: Arc<BTreeMap<String, String>>,
    /// Where its requests may go.
    pub http: Arc<HttpSettings>,
    pub store: Store,
}

impl CallContext {
    /// For the first call about a subscription that is not live.
    pub fn of(subscription: &Subscription, settings: Settings, store: &Store) -> CallContext {
        CallContext {
            subscriber_id: subscription.id.clone(),
            line: subscription.line.clone(),
            kind: subscription.kind,
            live: false,
            muted: subscription.muted,
            attempt: 1,
            retry_context: None,
            reports: false,
            settings: Arc::new(settings.settings),
            http: Arc::new(settings.http.unwrap_or_default()),
            store: store.clone(),
        }
    }
}

/// What a guest logged in one batch.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub lines: u64,
    /// The last of them, oldest first.
    pub last: VecDeque<String>,
}

impl Said {
    pub(super) fn add(&mut self, line: String) {
        self.lines += 1;
        self.last.push_back(line);
        if self.last.len() > MAX_LAST_LINES {
            self.last.pop_front();
        }
    }
}

/// The data of a wasmtime store.
pub(super) struct State {
    /// None in `describe`.
    context: Option<CallContext>,
    pub batch: Option<Box<Batch>>,
    /// The events of the call under way, in the order of positions.
    pub in_hand: Arc<Vec<RecordedEvent>>,
    /// What the guest looks at of them.
    pub parts: EventParts,
    /// The last position of the call under way: the bound of what the reader shows.
    pub chunk_end: Option<i64>,
    pub new_retry_context: Option<String>,
    /// Some of its statements were answered before they were run.
    pub answered_early: bool,
    pub meter: Meter,
    pub allowance: Allowance,
    pub said: Said,
    /// Appends so far by cause position: the ordinal that ids derive from.
    pub append_ordinals: HashMap<u64, u32>,
    pub http: Http,
    output: Output,
    wasi: WasiCtx,
    pub(super) resources: ResourceTable,
}

impl State {
    pub fn new(
        context: Option<CallContext>,
        batch: Option<Box<Batch>>,
        limits: &Limits,
        outbound: &Outbound,
    ) -> State {
        let output = Output::default();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        State {
            wasi: wasi::context(
                context
                    .as_ref()
                    .map_or(Kind::Projector, |context| context.kind),
                output.clone(),
            ),
            http: Http::new(outbound, context.as_ref(), limits),
            context,
            batch,
            in_hand: Arc::default(),
            parts: EventParts::ALL,
            chunk_end: None,
            new_retry_context: None,
            answered_early: false,
            meter: Meter::new(limits),
            allowance: Allowance::new(limits),
            said: Said::default(),
            append_ordinals: HashMap::new(),
            output,
            resources,
        }
    }

    /// What the guest wrote to its standard output and error.
    pub fn output_text(&self) -> Option<String> {
        self.output.text()
    }

    /// The message of a failure with what the host has to say about requests of this batch.
    pub fn with_notes(&self, message: String) -> String {
        match self.http.notes() {
            Some(notes) => format!("{message}\n{notes}"),
            None => message,
        }
    }

    /// Who is calling. In `describe` our own imports trap before they ask.
    pub fn context(&self) -> wasmtime::Result<&CallContext> {
        self.context
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg("there is no subscription in `describe`"))
    }

    /// Counts a call to the host; too many end the batch.
    pub fn count_host_call(&mut self) -> wasmtime::Result<()> {
        Ok(self.allowance.host_call()?)
    }

    /// The batch, for the imports that write. There is none in `describe`, where those imports trap before they get here.
    pub fn batch(&mut self) -> wasmtime::Result<&mut Batch> {
        self.count_host_call()?;
        self.batch.as_deref_mut().ok_or_else(|| {
            wasmtime::Error::msg(
                "no batch is open: `on-failure` can neither read nor write tables, nor append events; it decides by the event, the error and the retry context",
            )
        })
    }
}

/// A store in which everything is counted.
pub(super) fn new_store(engine: &Engine, state: State) -> wasmtime::Store<State> {
    let mut store = wasmtime::Store::new(engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(usize::try_from(mib(HOST_CALL_MIB)).unwrap_or(usize::MAX));
    store.set_max_component_handles(MAX_RESOURCES);
    store
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}
