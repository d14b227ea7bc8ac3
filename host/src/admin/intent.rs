//! Pause and reactivate: verbs that change the status row and return. Hosts notice, wherever they run.

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
        match status.on(input, current.run_mode) {
            Err(illegal) => {
                let why = illegal.to_string();
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
