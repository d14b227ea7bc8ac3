//! What a call of a guest needs: the newest module of the subscription, its settings, and what the guest may know.

use std::sync::Arc;

use subscription::{ErrorClass, RunMode, Status};

use super::catalog;
use super::shared::Shared;
use crate::guest::{CallContext, Failure, Limits, Module, Settings};
use crate::store::{Error, LaneState, Subscription};

/// Everything to make an instance with.
pub(super) struct Call {
    pub module: Module,
    pub context: CallContext,
    pub limits: Limits,
}

/// Prepares a call at an event that failed so often before. The inner error is the guest's.
pub(super) async fn prepare(
    shared: &Arc<Shared>,
    known: &Subscription,
    state: &LaneState,
    failures: u32,
) -> Result<Result<Call, Box<Failure>>, Error> {
    let module = match shared.catalog.get(&shared.store, &state.module).await {
        Ok(module) => module,
        Err(catalog::Error::Store(error)) => return Err(error),
        Err(refused) => {
            return Ok(Err(Failure::new(
                ErrorClass::Incompatible,
                refused.to_string(),
            )));
        }
    };
    let settings = Settings::of(known);
    let limits = settings.limits;
    let context = CallContext {
        live: state.status == Status::Active,
        muted: state.muted,
        attempt: failures.saturating_add(1),
        retry_context: (failures > 0)
            .then(|| state.retry_context.clone())
            .flatten(),
        reports: known.run_mode == RunMode::Once,
        ..CallContext::of(known, settings, &shared.store)
    };
    Ok(Ok(Call {
        module,
        context,
        limits,
    }))
}
