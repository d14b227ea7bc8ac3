//! Rewind: a subscription goes back in the log and begins a new generation, with its tables made anew or kept.
//!
//! Everything happens in the one transaction that holds the lane: whoever reads the tables meanwhile waits for it, and a setup
//! that fails leaves everything as it was.

use std::time::Duration;

use subscription::{Input, Kind, Next, Status};
use time::OffsetDateTime;
use uuid::Uuid;

use super::guests::{call, is_read, load, take_lane};
use super::{Change, Done, Error};
use crate::guest::{Compiler, Module, Runtime, Visit};
use crate::store::{self, Grant, Outcome, Store, Subscription};

/// Sends subscriptions back.
pub struct Rewind {
    pub store: Store,
    pub runtime: Runtime,
    pub compiler: Compiler,
    /// How long it waits for the batch that holds a lane.
    pub lane_patience: Duration,
    pub rows: RowsOf,
    pub effects: Effects,
}

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Behind this position.
    Position(i64),
    /// Before everything that was recorded then or later.
    Time(OffsetDateTime),
}

/// What becomes of the rows that the old generation made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOf {
    Dropped,
    /// Events are handled again over the rows that they made before.
    Kept,
}

/// What is said about the effects of processors, which happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    NotMeant,
    Repeated,
}

impl Target {
    /// The position, exclusive.
    pub async fn position(self, store: &Store) -> Result<i64, Error> {
        Ok(match self {
            Target::Position(position) => position,
            Target::Time(time) => store.position_before(time).await?,
        })
    }
}

impl Rewind {
    /// Sends one subscription back behind `to`.
    pub async fn rewind(&self, id: &str, to: i64) -> Result<Change, Error> {
        let Some(found) = self.store.subscription(id).await? else {
            return Err(Error::UnknownIds {
                ids: vec![id.to_owned()],
                near: Vec::new(),
            });
        };
        let before = found.status;
        let changed = self.rewind_one(&found, to).await;
        Ok(changed.unwrap_or_else(|error| Change::broken(id, before, error)))
    }

    async fn rewind_one(&self, found: &Subscription, to: i64) -> Result<Change, store::Error> {
        let (id, before) = (&found.id, found.status);
        if let Some(why) = self.refuse(found) {
            return Ok(Change::not(id, Done::Refused, before, before, why));
        }
        let module = match self.rows {
            RowsOf::Kept => None,
            RowsOf::Dropped => {
                match load(&self.store, &self.runtime, &self.compiler, &found.module).await? {
                    Ok(module) => Some(module),
                    Err(failure) => {
                        let why = format!("its tables cannot be made anew: {}", failure.message);
                        return Ok(Change::not(id, Done::Failed, before, before, why));
                    }
                }
            }
        };
        // No batch begins any more, and one that is open is given up.
        let quiet = match before {
            Status::Booting | Status::Active => Some(self.quieten(found).await?),
            _ => None,
        };
        store::failpoint("rewind-quiet");
        let outcome = self
            .in_lane(found, quiet.unwrap_or(before), module, to)
            .await;
        match outcome {
            // One that was only quietened goes on; one that was paused stays so.
            Ok(Ok(next)) if quiet.is_some() => {
                store::failpoint("rewind-committed");
                let next = self.restore(found, Some(next)).await?.unwrap_or(next);
                Ok(Change::done(id, before, Some(next)))
            }
            Ok(Ok(next)) => Ok(Change::done(id, before, Some(next))),
            Ok(Err(NotDone { result, why })) => {
                self.restore(found, quiet).await?;
                Ok(Change::not(id, result, before, before, why))
            }
            Err(error) => {
                self.restore(found, quiet).await?;
                Err(error)
            }
        }
    }

    fn refuse(&self, found: &Subscription) -> Option<String> {
        if found.kind == Kind::Processor && self.effects == Effects::NotMeant {
            let why = "it is a processor, and what it did it would do again: say --repeat-effects if that is meant";
            return Some(why.to_owned());
        }
        let rewound = found.status.on(Input::Rewound, found.run_mode);
        rewound.err().map(|illegal| illegal.to_string())
    }

    async fn quieten(&self, found: &Subscription) -> Result<Status, store::Error> {
        let Ok(Next::Status(paused)) = found.status.on(Input::Pause, found.run_mode) else {
            return Ok(found.status);
        };
        // A race that is lost shows under the lock, where the status is another one.
        self.store
            .change_status(&found.id, found.status, paused)
            .await?;
        Ok(paused)
    }

    /// It goes on as if it had not been quietened. `None`: it was not, or an operator has paused it meanwhile.
    async fn restore(
        &self,
        found: &Subscription,
        quiet: Option<Status>,
    ) -> Result<Option<Status>, store::Error> {
        if let Some(paused) = quiet
            && let Ok(Next::Status(again)) = paused.on(Input::Reactivate, found.run_mode)
            && self.store.change_status(&found.id, paused, again).await?
        {
            return Ok(Some(again));
        }
        Ok(None)
    }

    /// What happens under the lock of the lane.
    async fn in_lane(
        &self,
        found: &Subscription,
        expected: Status,
        module: Option<Module>,
        to: i64,
    ) -> Result<Result<Status, NotDone>, store::Error> {
        let taken = take_lane(&self.store, &found.id, Grant::Define, self.lane_patience).await?;
        let Some(mut batch) = taken else {
            let seconds = self.lane_patience.as_secs_f64();
            return Ok(NotDone::failed(format!(
                "its lane is held by a batch that has not ended within {seconds} s; try again"
            )));
        };
        let state = batch.state().clone();
        if (state.status, state.module) != (expected, found.module) {
            batch.rollback().await?;
            let why = format!("it became {} meanwhile; try again", state.status);
            return Ok(NotDone::failed(why));
        }
        if to > state.position {
            batch.rollback().await?;
            let why = format!(
                "it is at position {} and cannot go back to {to}",
                state.position
            );
            return Ok(Err(NotDone {
                result: Done::Refused,
                why,
            }));
        }
        let Ok(Next::Status(next)) = expected.on(Input::Rewound, found.run_mode) else {
            unreachable!("what cannot be rewound was refused before the lane was taken")
        };
        if let Some(module) = module {
            // Under the lane's lock, without which no line is switched.
            let is_read = is_read(&self.store, found).await?;
            if is_read {
                batch.empty_line().await?;
            }
            batch.empty_schema().await?;
            let rewound = Subscription {
                status: next,
                ..found.clone()
            };
            batch = match call(&self.store, &rewound, &module, batch, Visit::SetUp).await {
                Ok(batch) => batch,
                Err(failure) => {
                    let why = format!(
                        "its setup failed ({}), so everything is as it was: {}",
                        failure.class, failure.message
                    );
                    return Ok(NotDone::failed(why));
                }
            };
            if is_read {
                batch.point_line().await?;
            }
        }
        batch.begin_generation(to).await?;
        let change = store::Change::Must(expected, next);
        match batch.commit(to, change, Uuid::nil()).await? {
            Outcome::Committed => Ok(Ok(next)),
            Outcome::Refused(error) => Ok(NotDone::failed(format!(
                "what its setup did cannot be committed, so everything is as it was: {error}"
            ))),
            Outcome::Overtaken => Ok(NotDone::failed(
                "its status changed meanwhile; try again".to_owned(),
            )),
        }
    }
}

/// Why a rewind under the lock came to nothing.
struct NotDone {
    result: Done,
    why: String,
}

impl NotDone {
    fn failed<T>(why: String) -> Result<T, NotDone> {
        Err(NotDone {
            result: Done::Failed,
            why,
        })
    }
}
