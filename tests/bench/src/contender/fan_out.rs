//! What many guests and their commits cost without an engine: one loop over all subscriptions that opens a batch, starts an
//! instance, hands over the event and commits. It keeps sessions and rows from one batch to the next, as the host does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use projectionist::guest::{CallContext, Compiler, Instance, Limits, Module, Runtime};
use projectionist::store::{
    Batch, Change, Durability, Grant, KeptRows, LaneKey, Opening, Outcome, ReadFilter, ReadLimit,
    Store, Subscription,
};
use uuid::Uuid;

use super::{begin, say_ready};
use crate::sample::Sample;

/// Subscriptions that want the same events.
pub const FAN_OUT_SUBSCRIPTIONS: usize = 100;

/// Events that they all get, one after the other.
pub const FAN_OUT_EVENTS: u64 = 6;

const CONNECTIONS: u32 = 4;

const HOST: Uuid = Uuid::from_u128(1);

/// Between two looks for the next event.
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub async fn own_work(url: &str, _modules: &Path, cache: &Path) -> anyhow::Result<Sample> {
    let store = Store::connect(url, CONNECTIONS).await?;
    let compiler = Compiler::new(std::env::current_exe()?, cache.to_owned());
    let runtime = Runtime::new()?;
    let mut guests: Vec<(Subscription, Module, Option<KeptRows>)> = Vec::new();
    for subscription in store.subscriptions().await? {
        let bytes = store.module_bytes(&subscription.module).await?;
        let bytes = bytes.context("the module is not stored")?;
        let module = Module::load(&runtime, &compiler, &bytes).await?;
        guests.push((subscription, module, None));
    }
    let mut position = store.head().await?;
    let began = begin()?;
    say_ready();
    for _ in 0..FAN_OUT_EVENTS {
        while store.head().await? == position {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        position = store.head().await?;
        for (subscription, module, kept) in &mut guests {
            *kept = Some(run(&store, subscription, module, kept.take(), position).await?);
        }
    }
    let handled = FAN_OUT_EVENTS * guests.len() as u64;
    Sample::since(&began, handled)
}

async fn run(
    store: &Store,
    subscription: &Subscription,
    module: &Module,
    kept: Option<KeptRows>,
    up_to: i64,
) -> anyhow::Result<KeptRows> {
    let key = LaneKey {
        subscription: subscription.id.clone(),
        lane: 0,
    };
    let durability = Durability::of(subscription.kind, subscription.muted);
    let Opening::Opened(mut batch) = Batch::open(store, &key, Grant::Handle, durability).await?
    else {
        anyhow::bail!("somebody else has the lane of {}", subscription.id);
    };
    let limit = ReadLimit {
        events: 1_000,
        bytes: usize::MAX,
    };
    let after = batch.state().position;
    if let Some(kept) = kept {
        batch.adopt(kept, HOST, after);
    }
    let everything = ReadFilter::everything();
    let events = store
        .read_events(after, up_to, &everything, limit)
        .await?
        .events;
    let context = CallContext {
        subscriber_id: subscription.id.clone(),
        line: subscription.line.clone(),
        kind: subscription.kind,
        live: true,
        muted: false,
        attempt: 1,
        retry_context: None,
        reports: false,
        settings: Arc::default(),
        http: Arc::default(),
        store: store.clone(),
    };
    let mut instance = Instance::start(module, context, Limits::default(), batch)
        .await
        .map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
    let handled = instance.handle(events).await;
    handled.map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
    let finished = instance.finish().await;
    let batch = finished.map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
    let (outcome, kept) = batch.commit_keeping(up_to, Change::Keep, HOST).await?;
    anyhow::ensure!(outcome == Outcome::Committed, "a batch was overtaken");
    Ok(kept)
}
