//! Replay: events that were skipped are handed to their processor after all, out of order, each in a transaction of its own.
//!
//! At least once, as everything that a processor does: an effect outside of the database may have happened when the
//! transaction fails. A projector is not replayed into: what it made of later events may depend on the one that is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use subscription::{Criteria, Kind, Resume, Status};

use super::change::GuestFailure;
use super::guests::{Loaded, call, load, take_lane};
use super::skip::{LISTED_MAX, OPERATOR, read_one};
use super::{Done, Error, selection};
use crate::guest::{Compiler, Failure, Runtime, Visit};
use crate::store::{self, Change, Grant, Outcome, ReadFilter, SkippedEvent, Store, Subscription};

/// Hands skipped events to their processors.
pub struct Replay {
    pub store: Store,
    pub runtime: Runtime,
    pub compiler: Compiler,
    /// How long it waits for the batch that holds a lane.
    pub lane_patience: Duration,
}

/// What came of one skipped event, or of a subscription that nothing can be replayed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub id: String,
    /// `null`: no event of it was tried.
    pub position: Option<i64>,
    pub event_type: Option<String>,
    pub result: Done,
    /// Why not. Readable alone.
    pub reason: Option<String>,
    /// What the guest left behind when it failed.
    pub failure: Option<GuestFailure>,
}

impl Replay {
    /// Replays what these subscriptions skipped and did not replay yet, in the order of the log; with `positions` these events
    /// alone.
    pub async fn replay(
        &self,
        criteria: &Criteria,
        positions: &[i64],
    ) -> Result<Vec<Replayed>, Error> {
        let refused = match criteria.ids.is_empty() {
            true => Done::Left,
            false => Done::Refused,
        };
        let mut all = Vec::new();
        for found in selection::select(&self.store, criteria).await? {
            if let Some(why) = refuse(&found) {
                all.push(Replayed::not(&found.id, refused, why));
                continue;
            }
            let id = found.id.clone();
            match self.replay_all(found, positions).await {
                Ok(replayed) => all.extend(replayed),
                Err(error) => {
                    let why = super::change::with_causes(&error);
                    all.push(Replayed::not(&id, Done::Failed, why));
                }
            }
        }
        Ok(all)
    }

    async fn replay_all(
        &self,
        found: Subscription,
        positions: &[i64],
    ) -> Result<Vec<Replayed>, store::Error> {
        let ids = [found.id.clone()];
        let rows = self.store.skipped_events(&ids, None, LISTED_MAX).await?;
        let mut all = missing(&found.id, &rows, positions);
        // An event that several generations skipped is replayed once.
        let wanted: BTreeMap<i64, &SkippedEvent> = rows
            .iter()
            .filter(|row| row.replayed_at.is_none())
            .filter(|row| positions.is_empty() || positions.contains(&row.position))
            .map(|row| (row.position, row))
            .collect();
        let mut module = Module::unknown(&found);
        for (position, row) in wanted {
            let tried = self.replay_one(&found.id, position, &mut module).await?;
            let (result, reason, failure) = match tried {
                Ok(()) => (Done::Done, None, None),
                Err(NotReplayed { why, failure }) => (
                    Done::Failed,
                    Some(format!("{}: event {position}: {why}", found.id)),
                    failure.as_deref().map(GuestFailure::from),
                ),
            };
            all.push(Replayed {
                id: found.id.clone(),
                position: Some(position),
                event_type: row.event_type.clone(),
                result,
                reason,
                failure,
            });
        }
        Ok(all)
    }

    /// One event in one transaction, which is committed with the mark that it was replayed.
    async fn replay_one(
        &self,
        id: &str,
        position: i64,
        module: &mut Module,
    ) -> Result<Result<(), NotReplayed>, store::Error> {
        let event = read_one(
            &self.store,
            position - 1,
            position,
            &ReadFilter::everything(),
        )
        .await?;
        let Some(event) = event else {
            return Ok(NotReplayed::because("the log does not hold it any more"));
        };
        let Some(found) = self.store.subscription(id).await? else {
            return Ok(NotReplayed::because(
                "its subscription was removed meanwhile",
            ));
        };
        // Before the lane is taken, since compiling takes its time.
        module.load(self, &found).await?;
        let taken = take_lane(&self.store, id, Grant::Handle, self.lane_patience).await?;
        let Some(batch) = taken else {
            let seconds = self.lane_patience.as_secs_f64();
            return Ok(NotReplayed::because(format!(
                "the lane is held by a batch that has not ended within {seconds} s; try again, or pause it first"
            )));
        };
        let state = batch.state().clone();
        let loaded = match &module.loaded {
            Some(Ok(loaded)) if state.module == module.digest => loaded.clone(),
            Some(Err(failure)) => {
                batch.rollback().await?;
                return Ok(NotReplayed::failed(failure));
            }
            _ => {
                batch.rollback().await?;
                return Ok(NotReplayed::because(
                    "its code was replaced meanwhile; try again",
                ));
            }
        };
        let found = Subscription {
            status: state.status,
            ..found
        };
        if let Some(why) = refuse(&found) {
            batch.rollback().await?;
            return Ok(NotReplayed::because(why));
        }
        let handled = call(&self.store, &found, &loaded, batch, Visit::Handle(event)).await;
        let mut batch = match handled {
            Ok(batch) => batch,
            Err(failure) => return Ok(NotReplayed::failed(&failure)),
        };
        batch.mark_replayed(position).await?;
        match batch.commit(state.position, Change::Keep, OPERATOR).await? {
            Outcome::Committed => Ok(Ok(())),
            Outcome::Overtaken => Ok(NotReplayed::because(
                "somebody else was at the lane meanwhile; try again",
            )),
            Outcome::Refused(error) => Ok(NotReplayed::failed(&Failure::of_database(
                "the commit failed",
                &error,
            ))),
        }
    }
}

/// Why nothing can be replayed for it now.
fn refuse(found: &Subscription) -> Option<String> {
    let (id, status) = (&found.id, found.status);
    if found.kind == Kind::Projector {
        return Some(format!(
            "it is a projector, and out of order its rows would not be what the log says: mend its guest, then build it anew with \
             `projectionist rewind --id {id} --to 0`"
        ));
    }
    match status {
        Status::Detached(_) => Some(format!(
            "it is {status}: its guest is gone or a later version took over; reactivate it first if it is to act again"
        )),
        _ if found.muted => Some(
            "it builds its state from history without effects until it takes over; replay then"
                .to_owned(),
        ),
        status if status == Status::New || status.resume() == Some(Resume::New) => {
            Some(format!("it is {status}, so its setup is still to run"))
        }
        _ => None,
    }
}

/// Those of the positions that were asked for and cannot be tried.
fn missing(id: &str, rows: &[SkippedEvent], positions: &[i64]) -> Vec<Replayed> {
    let untried = positions.iter().filter_map(|position| {
        let of_it = || rows.iter().filter(|row| row.position == *position);
        if of_it().any(|row| row.replayed_at.is_none()) {
            return None;
        }
        let why = match of_it().next() {
            Some(_) => format!("event {position} was replayed already"),
            None => format!(
                "event {position} was not skipped; `projectionist skipped list --id {id}` lists what was"
            ),
        };
        Some(Replayed {
            position: Some(*position),
            ..Replayed::not(id, Done::Refused, why)
        })
    });
    untried.collect()
}

/// The newest module, loaded once for many events.
struct Module {
    digest: store::Digest,
    loaded: Option<Loaded>,
}

impl Module {
    fn unknown(found: &Subscription) -> Module {
        Module {
            digest: found.module,
            loaded: None,
        }
    }

    async fn load(&mut self, replay: &Replay, found: &Subscription) -> Result<(), store::Error> {
        if self.loaded.is_none() || self.digest != found.module {
            let Replay {
                store,
                runtime,
                compiler,
                ..
            } = replay;
            self.loaded = Some(load(store, runtime, compiler, &found.module).await?);
            self.digest = found.module;
        }
        Ok(())
    }
}

/// Why an event stays skipped.
struct NotReplayed {
    why: String,
    failure: Option<Box<Failure>>,
}

impl NotReplayed {
    fn because<T>(why: impl Into<String>) -> Result<T, NotReplayed> {
        Err(NotReplayed {
            why: why.into(),
            failure: None,
        })
    }

    fn failed<T>(failure: &Failure) -> Result<T, NotReplayed> {
        Err(NotReplayed {
            why: format!("{}: {}", failure.class, failure.message),
            failure: Some(Box::new(failure.clone())),
        })
    }
}

impl Replayed {
    fn not(id: &str, result: Done, why: String) -> Replayed {
        Replayed {
            id: id.to_owned(),
            position: None,
            event_type: None,
            result,
            reason: Some(format!("{id}: {why}")),
            failure: None,
        }
    }
}
