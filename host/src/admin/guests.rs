//! What verbs that run guests share: the module from the stored bytes, the lane, and the call in the transaction that holds it.

use std::time::Duration;

use subscription::{ErrorClass, Kind, Resume, Status};
use tokio::time::Instant;

use crate::guest::{
    CallContext, CompileError, Compiler, Failure, Module, Runtime, Settings, Visit, visit,
};
use crate::store::{self, Batch, Digest, Durability, Grant, LaneKey, Opening, Store, Subscription};

/// Between two looks at a lane that is taken.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A module, or why it cannot be run.
pub(super) type Loaded = Result<Module, Box<Failure>>;

/// The module from the stored bytes, or why it cannot be run.
pub(super) async fn load(
    store: &Store,
    runtime: &Runtime,
    compiler: &Compiler,
    digest: &Digest,
) -> Result<Loaded, store::Error> {
    let cannot = |why: String| Failure::new(ErrorClass::Incompatible, why);
    let Some(bytes) = store.module_bytes(digest).await? else {
        return Ok(Err(cannot("its module is not stored any more".to_owned())));
    };
    Ok(match Module::load(runtime, compiler, &bytes).await {
        Ok(module) => Ok(module),
        Err(CompileError::Refused(refusal)) => Err(cannot(format!(
            "its stored module cannot be run by this host: {refusal}"
        ))),
        Err(other) => Err(cannot(format!(
            "its stored module cannot be loaded: {other}"
        ))),
    })
}

/// Calls the guest of a subscription as it stands. After a failure the batch is rolled back.
pub(super) async fn call(
    store: &Store,
    subscription: &Subscription,
    module: &Module,
    batch: Box<Batch>,
    purpose: Visit,
) -> Result<Box<Batch>, Box<Failure>> {
    let settings = Settings::of(subscription);
    let limits = settings.limits;
    let status = subscription.status;
    let context = CallContext {
        live: matches!(status, Status::Active | Status::Finished)
            || status.resume() == Some(Resume::Active),
        ..CallContext::of(subscription, settings, store)
    };
    visit(module, context, limits, batch, purpose).await
}

/// Whether the views of its line show this one.
pub(super) async fn is_read(store: &Store, found: &Subscription) -> Result<bool, store::Error> {
    let line = store.line(&found.line).await?;
    Ok(found.kind == Kind::Projector
        && line.is_some_and(|line| line.live.as_deref() == Some(&found.id)))
}

/// Takes the first lane, waiting for the batch that holds it. `None`: it has not ended in time.
pub(super) async fn take_lane(
    store: &Store,
    id: &str,
    grant: Grant,
    patience: Duration,
) -> Result<Option<Box<Batch>>, store::Error> {
    let deadline = Instant::now() + patience;
    let key = LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    };
    loop {
        let opening = Batch::open(store, &key, grant, Durability::Durable).await?;
        if let Opening::Opened(batch) = opening {
            return Ok(Some(batch));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
