//! What a call of a guest needs: the newest module of the subscription, its settings, and what the guest may know.

use std::sync::Arc;

use subscription::{ErrorClass, RunMode, Status};

use super::catalog;
use super::shared::Shared;
use crate::guest::{CallContext, Failure, Limits, Module, Settings};
use crate::store::{Digest, Error, LaneState, Subscription};

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
    let first = prepare_first(shared, known, &state.module).await?;
    Ok(first.map(|call| Call {
        context: CallContext {
            live: state.status == Status::Active,
            muted: state.muted,
            attempt: failures.saturating_add(1),
            retry_context: (failures > 0)
                .then(|| state.retry_context.clone())
                .flatten(),
            ..call.context
        },
        ..call
    }))
}

/// Prepares a first call, going by the row as it is known.
pub(super) async fn prepare_first(
    shared: &Arc<Shared>,
    known: &Subscription,
    module: &Digest,
) -> Result<Result<Call, Box<Failure>>, Error> {
    let module = match shared.catalog.get(&shared.store, module).await {
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
        live: known.status == Status::Active,
        reports: known.run_mode == RunMode::Once,
        ..CallContext::of(known, settings, &shared.store)
    };
    Ok(Ok(Call {
        module,
        context,
        limits,
    }))
}
