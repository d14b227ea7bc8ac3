//! Remove and teardown: verbs that drop what a subscription made. No host need be running.
//!
//! A host that is in a batch of the subscription must not hold the verb up, so a verb goes in this order:
//!
//! 1. The status is changed to Paused where the rules allow that. From then on no batch begins, and a host that has one
//!    open gives it up at the next call of its guest. A New subscription cannot be paused, and one whose duty is to rest
//!    need not be.
//! 2. The module is loaded from the stored bytes, before anything is locked, since compiling takes its time.
//! 3. The lane is locked, with patience for the batch that is just ending.
//! 4. The guest's teardown runs in the transaction that holds the lane, and the schema and the rows are dropped there.

use std::time::Duration;

use serde::Serialize;
use subscription::{Criteria, Input, Kind, Next, Resume, Status};
use tokio::time::Instant;

use super::guests::{LOOK_EVERY, Loaded, call, is_read, load};
use super::status::{FilePlace, held_files};
use super::{Change, Done, Error, selection};
use crate::guest::{Compiler, Failure, Runtime, Visit};
use crate::store::{self, Batch, Digest, Durability, Grant, Opening, Store, Subscription};

/// How long a verb waits for the batch that holds a lane, unless told otherwise.
pub const LANE_PATIENCE: Duration = Duration::from_secs(30);

/// Drops subscriptions, with the guest's own teardown.
pub struct Removal {
    pub store: Store,
    pub runtime: Runtime,
    pub compiler: Compiler,
    pub lane_patience: Duration,
}

/// A subscription that is about to be dropped, for the question that is asked before.
#[derive(Clone, Debug, Serialize)]
pub struct Removable {
    pub id: String,
    pub status: String,
    pub kind: &'static str,
    /// The files that hold it, on hosts that are alive: with such a file, removing it is building it anew.
    pub files: Vec<FilePlace>,
}

/// What a failing teardown means for `teardown`. `remove` always drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Keep,
    Drop,
}

/// Which of the two verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Remove,
    Teardown(OnFailure),
}

/// What the criteria mean now, for the question.
pub async fn removable(store: &Store, criteria: &Criteria) -> Result<Vec<Removable>, Error> {
    let mut files = held_files(store).await?;
    let found = selection::select(store, criteria).await?;
    let describe = |found: Subscription| Removable {
        files: files.remove(&found.id).unwrap_or_default(),
        status: found.status.to_string(),
        kind: found.kind.as_str(),
        id: found.id,
    };
    Ok(found.into_iter().map(describe).collect())
}

impl Removal {
    /// Drops a subscription of any status, whatever its teardown says.
    pub async fn remove(&self, id: &str) -> Result<Change, Error> {
        self.drop_one(id, Manner::Remove).await
    }

    /// Drops a Detached subscription, if its teardown goes well.
    pub async fn teardown(&self, id: &str, on_failure: OnFailure) -> Result<Change, Error> {
        self.drop_one(id, Manner::Teardown(on_failure)).await
    }

    async fn drop_one(&self, id: &str, manner: Manner) -> Result<Change, Error> {
        let Some(found) = self.store.subscription(id).await? else {
            return Err(Error::UnknownIds {
                ids: vec![id.to_owned()],
                near: Vec::new(),
            });
        };
        let before = found.status;
        let attempt = Attempt {
            removal: self,
            id,
            before,
            manner,
        };
        let changed = attempt.run(found).await;
        Ok(changed.unwrap_or_else(|error| Change::broken(id, before, error)))
    }
}

/// One verb for one subscription.
struct Attempt<'a> {
    removal: &'a Removal,
    id: &'a str,
    before: Status,
    manner: Manner,
}

/// The outcome of getting everything ready for the removal.
enum Ready {
    Yes(Box<Subscription>, Box<Batch>, Option<Loaded>),
    No(Change),
}

/// The outcome of waiting for a lane.
enum Taking {
    Taken(Box<Subscription>, Box<Batch>),
    Ended(Change),
}

impl Attempt<'_> {
    async fn run(&self, found: Subscription) -> Result<Change, store::Error> {
        if let Some(refused) = self.refuse(found.status) {
            return Ok(refused);
        }
        if let Some(refused) = self.refuse_what_is_read(&found).await? {
            return Ok(refused);
        }
        self.quieten(&found).await?;
        let (found, mut batch, module) = match self.take_lane_with_module(found).await? {
            Ready::Yes(found, batch, module) => (found, batch, module),
            Ready::No(change) => return Ok(change),
        };
        let torn_down = match module {
            None => Ok(batch),
            Some(Ok(module)) => {
                let store = &self.removal.store;
                // What it drops is not held by the views of its line, which go with it.
                if is_read(store, &found).await? {
                    batch.empty_line().await?;
                }
                call(store, &found, &module, batch, Visit::TearDown).await
            }
            Some(Err(failure)) => {
                batch.rollback().await?;
                Err(failure)
            }
        };
        match torn_down {
            Ok(batch) => {
                batch.commit_removal().await?;
                Ok(Change::done(self.id, self.before, None))
            }
            Err(failure) => self.after_failure(&found, &failure).await,
        }
    }

    /// Takes the lane with the module for the teardown at hand. What the row said before the lane was taken may have
    /// changed since: setup ran after all, or the code was swapped. Then the module is looked for again.
    async fn take_lane_with_module(&self, found: Subscription) -> Result<Ready, store::Error> {
        let mut wanted = wanted_module(found.status, found.module);
        loop {
            let module = match &wanted {
                None => None,
                Some(digest) => {
                    let Removal {
                        store,
                        runtime,
                        compiler,
                        ..
                    } = self.removal;
                    Some(load(store, runtime, compiler, digest).await?)
                }
            };
            let (found, batch) = match self.take_lane().await? {
                Taking::Taken(found, batch) => (found, batch),
                Taking::Ended(change) => return Ok(Ready::No(change)),
            };
            let now = wanted_module(batch.state().status, batch.state().module);
            if now == wanted {
                return Ok(Ready::Yes(found, batch, module));
            }
            batch.rollback().await?;
            wanted = now;
        }
    }

    fn refuse(&self, status: Status) -> Option<Change> {
        match (self.manner, status) {
            (Manner::Remove, _) | (Manner::Teardown(_), Status::Detached(_)) => None,
            (Manner::Teardown(_), _) => {
                let why = format!(
                    "teardown is for subscriptions that are Detached, and this one is {status}: use `projectionist remove --id {}` to drop it as it is",
                    self.id
                );
                Some(self.not(Done::Refused, status, why))
            }
        }
    }

    /// A live version may be Detached, when its file went; readers see its tables all the same.
    async fn refuse_what_is_read(
        &self,
        found: &Subscription,
    ) -> Result<Option<Change>, store::Error> {
        let is_teardown = matches!(self.manner, Manner::Teardown(_));
        if !is_teardown || found.kind == Kind::Processor {
            return Ok(None);
        }
        let line = self.removal.store.line(&found.line).await?;
        let is_live = line.is_some_and(|line| line.live.as_deref() == Some(self.id));
        let rows = self.removal.store.subscriptions().await?;
        let mut others = rows.iter().filter(|row| row.id != self.id);
        // The last version of its line: nothing else could be read, and it is over with the line.
        let is_last = !others.any(|row| row.line == found.line);
        Ok((is_live && !is_last).then(|| {
            let why = format!(
                "it is the live version of {}, and readers see its tables: activate another version first, or use `projectionist remove --id {}` to drop it all the same",
                found.line, self.id
            );
            self.not(Done::Refused, found.status, why)
        }))
    }

    /// Brings it into a status in which no batch begins, where there is one.
    async fn quieten(&self, found: &Subscription) -> Result<(), store::Error> {
        if let Ok(Next::Status(paused)) = found.status.on(Input::Pause, found.run_mode) {
            // A race that is lost is no matter: whoever waits for the lane looks again.
            self.removal
                .store
                .change_status(self.id, found.status, paused)
                .await?;
        }
        Ok(())
    }

    /// Waits until nobody is in a batch of it. With several lanes the others are waited for by the removal itself.
    async fn take_lane(&self) -> Result<Taking, store::Error> {
        let store = &self.removal.store;
        let deadline = Instant::now() + self.removal.lane_patience;
        loop {
            let Some(found) = store.subscription(self.id).await? else {
                return Ok(Taking::Ended(Change::vanished(self.id, self.before)));
            };
            if let Some(refused) = self.refuse(found.status) {
                return Ok(Taking::Ended(refused));
            }
            self.quieten(&found).await?;
            let lanes = store.lanes(Some(self.id)).await?;
            if let Some(lane) = lanes.first() {
                let opening =
                    Batch::open(store, &lane.key, Grant::Define, Durability::Durable).await?;
                if let Opening::Opened(batch) = opening {
                    return Ok(Taking::Taken(Box::new(found), batch));
                }
            }
            if Instant::now() >= deadline {
                return Ok(Taking::Ended(self.still_taken(found.status, lanes.first())));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn still_taken(&self, status: Status, lane: Option<&store::Lane>) -> Change {
        let lane = lane.map_or(0, |lane| lane.key.lane);
        let seconds = self.removal.lane_patience.as_secs_f64();
        let why = format!(
            "lane {lane} is held by a batch that has not ended within {seconds} s; it was not dropped and is {status} now: try again, or `projectionist reactivate --id {}` to let it go on",
            self.id
        );
        self.not(Done::Failed, status, why)
    }

    /// The teardown failed and is rolled back.
    async fn after_failure(
        &self,
        found: &Subscription,
        failure: &Failure,
    ) -> Result<Change, store::Error> {
        let what = format!(
            "its teardown failed ({}): {}",
            failure.class, failure.message
        );
        if self.manner == Manner::Teardown(OnFailure::Keep) {
            let why = format!("{what}; everything is kept: mend it, or drop it with --force");
            let change = self.not(Done::Failed, found.status, why);
            return Ok(change.with_failure(failure));
        }
        match self.take_lane().await? {
            Taking::Ended(change) => Ok(change),
            Taking::Taken(_, batch) => {
                batch.commit_removal().await?;
                let mut change = Change::done(self.id, self.before, None);
                change.reason = Some(format!("{}: dropped, although {what}", self.id));
                Ok(change.with_failure(failure))
            }
        }
    }

    fn not(&self, result: Done, now: Status, why: String) -> Change {
        Change::not(self.id, result, self.before, now, why)
    }
}

/// The module whose teardown has to run: none before setup has run to its end, since nothing is there to tear down.
fn wanted_module(status: Status, module: Digest) -> Option<Digest> {
    let has_been_set_up = status != Status::New && status.resume() != Some(Resume::New);
    has_been_set_up.then_some(module)
}
