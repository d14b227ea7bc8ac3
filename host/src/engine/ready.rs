//! A fresh instance that waits for its batch. To make one takes as long as all the rest that the host does for one event, so it is made
//! while nothing comes.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::call::{self, Call};
use super::shared::Shared;
use crate::guest::Instance;
use crate::store::Subscription;

/// Instances that wait at most, those of all lanes together: each takes the memory that its guest begins with.
pub(super) const READY_INSTANCES: usize = 16;

pub(super) struct Ready {
    instance: Instance,
    /// Of the row that said how to make it.
    revision: String,
    _room: OwnedSemaphorePermit,
}

impl Ready {
    pub async fn make(
        shared: &Arc<Shared>,
        known: &Subscription,
        room: OwnedSemaphorePermit,
    ) -> Option<Ready> {
        Some(Ready {
            instance: start(shared, known).await?,
            revision: known.revision.clone(),
            _room: room,
        })
    }

    pub fn suits(&self, known: &Subscription) -> bool {
        self.revision == known.revision
    }

    pub fn into_instance(self) -> Instance {
        self.instance
    }
}

/// A fresh instance without a batch. `None`: it cannot be started like that, or not at all, which is found out again with one.
pub(super) async fn start(shared: &Arc<Shared>, known: &Subscription) -> Option<Instance> {
    let prepared = call::prepare_first(shared, known, &known.module).await;
    let Call {
        module,
        context,
        limits,
    } = prepared.ok()?.ok()?;
    Instance::start_early(&module, context, limits).await.ok()
}
