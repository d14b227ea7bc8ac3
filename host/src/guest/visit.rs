//! One call of a guest outside the path of a batch, with everything that it wrote: its setup, its teardown, or one event.

use super::failure::Failure;
use super::instance::Instance;
use super::limits::Limits;
use super::module::Module;
use super::state::CallContext;
use crate::store::{Batch, RecordedEvent};

/// What a guest is called for.
#[derive(Clone, Debug)]
pub enum Visit {
    SetUp,
    TearDown,
    Handle(RecordedEvent),
}

/// Calls a fresh instance of the module, and writes what it left to be written. After a failure the batch is rolled back.
pub async fn visit(
    module: &Module,
    context: CallContext,
    limits: Limits,
    batch: Box<Batch>,
    purpose: Visit,
) -> Result<Box<Batch>, Box<Failure>> {
    let mut instance = Instance::start(module, context, limits, batch).await?;
    match purpose {
        Visit::SetUp => instance.setup().await?,
        Visit::TearDown => instance.teardown().await?,
        Visit::Handle(event) => instance.handle(vec![event]).await?,
    }
    instance.finish().await
}
