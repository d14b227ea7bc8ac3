//! Setting a new subscription up: its tables, in one transaction with the status that follows.

use std::sync::Arc;

use subscription::{Input, Next, Status};

use super::call::{self, Call};
use super::handed::Handed;
use super::handled::FailedBatch;
use super::shared::Shared;
use crate::guest::{Failure, Visit, visit};
use crate::store::{
    Batch, Change, Durability, Error, Grant, LaneKey, Opening, Outcome, Subscription, failpoint,
};

/// What setting up came to.
pub(super) enum Done {
    SetUp { status: Status },
    Taken,
    Stale,
    Failed(Box<FailedBatch>),
}

/// `input`: whether it boots after that or follows at once.
pub(super) async fn run(
    shared: &Arc<Shared>,
    known: &Subscription,
    key: &LaneKey,
    input: Input,
) -> Result<Done, Error> {
    let batch = match Batch::open(&shared.store, key, Grant::Define, Durability::Durable).await? {
        Opening::Opened(batch) => batch,
        Opening::Taken => return Ok(Done::Taken),
    };
    let state = batch.state().clone();
    if (known.status, known.module) != (state.status, state.module) {
        batch.rollback().await?;
        return Ok(Done::Stale);
    }
    let failed = |failure: Box<Failure>| {
        Ok(Done::Failed(Box::new(FailedBatch {
            failure,
            state: state.clone(),
            events: Handed::default(),
            before_chunk: 0,
        })))
    };
    let failures = state.attempts.unsigned_abs();
    let Call {
        module,
        context,
        limits,
    } = match call::prepare(shared, known, &state, failures).await? {
        Ok(call) => call,
        Err(failure) => return failed(failure),
    };
    let batch = match visit(&module, context, limits, batch, Visit::SetUp).await {
        Ok(batch) => batch,
        Err(failure) => return failed(failure),
    };
    let Ok(Next::Status(next)) = state.status.on(input, known.run_mode) else {
        return Ok(Done::Stale);
    };
    failpoint("version-setting-up");
    match batch
        .commit(
            state.position,
            Change::Must(state.status, next),
            shared.host,
        )
        .await?
    {
        Outcome::Committed => {
            failpoint("version-set-up");
            Ok(Done::SetUp { status: next })
        }
        Outcome::Refused(error) => failed(Failure::of_database("the commit failed", &error)),
        Outcome::Overtaken => Ok(Done::Stale),
    }
}
