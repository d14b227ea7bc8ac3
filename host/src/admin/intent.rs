//! Pause, reactivate and retry: verbs that change the status row and return. Hosts notice, wherever they run.

use subscription::{Criteria, Input, Next, Status};

use super::{Change, Done, Error, selection};
use crate::store::{self, Store, Subscription};

/// Races that a verb loses against hosts before it gives up. Each one means that the status changed in between.
const RACES_MAX: u32 = 20;

/// Stops subscriptions until they are reactivated. No criteria: all of them.
pub async fn pause(store: &Store, criteria: &Criteria) -> Result<Vec<Change>, Error> {
    intend(store, criteria, Input::Pause).await
}

/// Lets stopped subscriptions go on, with a fresh count of retries. No criteria: all of them.
pub async fn reactivate(store: &Store, criteria: &Criteria) -> Result<Vec<Change>, Error> {
    intend(store, criteria, Input::Reactivate).await
}

/// Lets subscriptions in error try again now instead of when their retry is due; the count of retries goes on. No criteria:
/// all that are in error.
pub async fn retry(store: &Store, criteria: &Criteria) -> Result<Vec<Change>, Error> {
    intend(store, criteria, Input::RetryDue).await
}

async fn intend(store: &Store, criteria: &Criteria, input: Input) -> Result<Vec<Change>, Error> {
    // Whoever names a subscription wants to hear that it cannot be done; whoever means a group means those that can.
    let when_illegal = if criteria.ids.is_empty() {
        Done::Left
    } else {
        Done::Refused
    };
    let mut changes = Vec::new();
    for found in selection::select(store, criteria).await? {
        let (id, before) = (found.id.clone(), found.status);
        let changed = change(store, found, input, when_illegal).await;
        changes.push(changed.unwrap_or_else(|error| Change::broken(&id, before, error)));
    }
    Ok(changes)
}

/// One subscription: the rule, then the compare-and-set, and again when somebody was faster.
async fn change(
    store: &Store,
    found: Subscription,
    input: Input,
    when_illegal: Done,
) -> Result<Change, store::Error> {
    let (id, before) = (found.id.clone(), found.status);
    let mut current = found;
    for _ in 0..RACES_MAX {
        let status = current.status;
        let next = match nothing_to_retry(input, status) {
            Some(why) => Err(why),
            None => status
                .on(input, current.run_mode)
                .map_err(|illegal| illegal.to_string()),
        };
        match next {
            Err(why) => {
                return Ok(Change::not(&id, when_illegal, before, status, why));
            }
            Ok(Next::Gone) => {
                unreachable!("only Remove leads to Gone, and it has a verb of its own")
            }
            Ok(Next::Status(next)) => {
                if write(store, &id, input, status, next).await? {
                    return Ok(Change::done(&id, before, Some(next)));
                }
            }
        }
        match store.subscription(&id).await? {
            Some(row) => current = row,
            None => return Ok(Change::vanished(&id, before)),
        }
    }
    let why = format!("its status changed {RACES_MAX} times while it was to be changed; try again");
    Ok(Change::not(&id, Done::Failed, before, current.status, why))
}

/// A time for a retry may come when there is nothing to retry any more; a person who asks for one wants to know.
fn nothing_to_retry(input: Input, status: Status) -> Option<String> {
    let pointless = input == Input::RetryDue && !matches!(status, Status::Error(_));
    pointless.then(|| {
        let advice = match status {
            Status::Paused(_) | Status::Detached(_) => "reactivate it to let it go on",
            _ => "it is not in error",
        };
        format!("a subscription that is {status} has nothing to retry: {advice}")
    })
}

async fn write(
    store: &Store,
    id: &str,
    input: Input,
    from: Status,
    to: Status,
) -> Result<bool, store::Error> {
    match input {
        Input::Reactivate => store.change_status_and_reset(id, from, to).await,
        _ => store.change_status(id, from, to).await,
    }
}
