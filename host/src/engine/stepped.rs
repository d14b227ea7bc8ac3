//! The engine step by step: `run --once`, `setup` and `boot` do what workers do, once, and say what came of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use subscription::{Illegal, Input, Status};
use tokio_util::sync::CancellationToken;

use super::host::{Error, Host};
use super::lane::{Lane, Step};
use super::retire;
use super::shared::Shared;
use super::switch;
use crate::store::{LaneKey, Subscription};

/// What `run --once` came to.
#[derive(Clone, Debug, Default)]
pub struct CaughtUp {
    /// Where everything stands now.
    pub horizon: i64,
    /// Events handed to guests.
    pub events: usize,
    /// Of these, those of each subscription, by id.
    pub events_of: BTreeMap<String, usize>,
    /// Subscriptions that have had as many events as they were allowed to, by id; there may be more for them.
    pub limited: Vec<String>,
}

/// Where a New subscription is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// As its run mode says.
    Unchanged,
    /// Behind this position.
    After(i64),
    /// Behind what is settled now.
    Now,
}

/// Where a subscription goes from its setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As its run mode says.
    Usual,
    /// It follows at once instead of booting: its guest is told that it is live from the first event on.
    SkipBoot,
}

/// What a step by step verb did to one subscription.
#[derive(Clone, Debug)]
pub struct Stepped {
    pub id: String,
    pub before: Status,
    /// `None`: it was removed meanwhile.
    pub after: Option<Status>,
    pub outcome: Outcome,
    /// Events handed to the guest.
    pub events: usize,
}

/// How it ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    Done,
    /// It had as many events as it was allowed to and is not through.
    Limited,
    /// Its status does not allow it.
    Illegal(Illegal),
    /// It was tried, and its guest failed; the message of that.
    Failed(String),
}

impl Host {
    /// Catches up with everything that is there, events appended meanwhile included, and comes back.
    pub async fn once(&mut self) -> Result<CaughtUp, Error> {
        self.once_at_most(None).await
    }

    /// The same with so many events for each subscription at most.
    pub async fn once_at_most(&mut self, limit: Option<u32>) -> Result<CaughtUp, Error> {
        if let Err(error) = self.scan().await {
            self.leave().await;
            return Err(error);
        }
        self.catch_up(None, limit).await
    }

    /// Catches these subscriptions up, or all, with what is there and is appended meanwhile. The directory is not looked at.
    pub async fn catch_up(
        &mut self,
        of: Option<&[String]>,
        limit: Option<u32>,
    ) -> Result<CaughtUp, Error> {
        // Another host steps aside now and then for one that is alive.
        self.keep_alive().await?;
        let result = self.step_until_caught_up(of, limit).await;
        self.leave().await;
        result
    }

    async fn step_until_caught_up(
        &mut self,
        of: Option<&[String]>,
        limit: Option<u32>,
    ) -> Result<CaughtUp, Error> {
        let mut lanes: HashMap<LaneKey, Option<u32>> = HashMap::new();
        let mut events_of: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let horizon = self.follower.look().await?;
            // What is overtaken already is not built.
            switch::due(&self.shared).await?;
            let mut worked = false;
            for row in self.shared.store.lanes(None).await? {
                if of.is_some_and(|ids| !ids.contains(&row.key.subscription)) {
                    continue;
                }
                let left = lanes.entry(row.key.clone()).or_insert(limit);
                let events = events_of.entry(row.key.subscription.clone()).or_default();
                let mut lane = Lane::new(Arc::clone(&self.shared), row.key).at_most(*left);
                worked |= step_until_idle(&mut lane).await?;
                self.check_thrown()?;
                *left = lane.left();
                *events += lane.handled();
            }
            if !worked {
                worked = self.switch_lines().await?;
            }
            if !worked && self.follower.look().await? == horizon {
                let spent = lanes.into_iter().filter(|(_, left)| *left == Some(0));
                let mut limited: Vec<_> = spent.map(|(key, _)| key.subscription).collect();
                limited.sort_unstable();
                limited.dedup();
                return Ok(CaughtUp {
                    horizon,
                    events: events_of.values().sum(),
                    events_of,
                    limited,
                });
            }
        }
    }

    /// Switches lines whose next version has caught up, and drops versions that are not kept. Whether anything changed.
    async fn switch_lines(&self) -> Result<bool, Error> {
        let never = CancellationToken::new();
        let mut switched = false;
        for handover in switch::due(&self.shared).await? {
            let attempted = switch::attempt(&self.shared, &handover, &never).await?;
            switched |= attempted == switch::Attempt::Switched;
        }
        switched |= retire::look(&self.shared, &mut HashMap::new()).await?;
        Ok(switched)
    }

    /// Takes these subscriptions to what is settled now, or as far as they come in that time; a batch that is open then is
    /// rolled back. What a guest appends meanwhile is left to others: a guest that answers itself would never be through.
    pub async fn catch_up_once(&mut self, ids: &[String], patience: Duration) -> Result<(), Error> {
        let catching_up = async {
            self.follower.look().await?;
            for id in ids {
                for row in self.shared.store.lanes(Some(id)).await? {
                    let mut lane = Lane::new(Arc::clone(&self.shared), row.key);
                    step_until_idle(&mut lane).await?;
                }
            }
            Ok(())
        };
        let in_time = tokio::time::timeout(patience, catching_up).await;
        in_time.unwrap_or(Ok(()))
    }

    /// Registers the guests of the directory, and leaves what follows from that to others.
    pub async fn register(&mut self) -> Result<(), Error> {
        let result = self.scan().await;
        self.leave().await;
        result
    }

    /// Sets New subscriptions up. The directory is not looked at.
    pub async fn set_up(
        &mut self,
        ids: &[String],
        start: StartAt,
        manner: Manner,
    ) -> Result<Vec<Stepped>, Error> {
        let start = match start {
            StartAt::Unchanged => None,
            StartAt::After(position) => Some(position),
            StartAt::Now => Some(self.follower.look().await?),
        };
        let input = match manner {
            Manner::Usual => Input::SetUp,
            Manner::SkipBoot => Input::SkipBoot,
        };
        let mut done = Vec::new();
        for id in ids {
            let Some(row) = self.shared.store.subscription(id).await? else {
                continue;
            };
            done.push(set_up_one(&self.shared, row, start, input).await?);
        }
        Ok(done)
    }

    /// Takes Booting subscriptions through history, at most so many events each. The directory is not looked at.
    pub async fn boot(
        &mut self,
        ids: &[String],
        limit: Option<u32>,
    ) -> Result<Vec<Stepped>, Error> {
        self.follower.look().await?;
        let mut done = Vec::new();
        for id in ids {
            let Some(row) = self.shared.store.subscription(id).await? else {
                continue;
            };
            done.push(boot_one(&self.shared, row, limit).await?);
        }
        Ok(done)
    }
}

async fn set_up_one(
    shared: &Arc<Shared>,
    row: Subscription,
    start: Option<i64>,
    input: Input,
) -> Result<Stepped, Error> {
    let (id, before) = (row.id.clone(), row.status);
    if let Err(illegal) = before.on(input, row.run_mode) {
        return Ok(Stepped::refused(&row, illegal));
    }
    if let Some(position) = start
        && !shared.store.change_start(&id, position).await?
    {
        // A host has set it up meanwhile, from where its run mode said.
        let status = shared.store.subscription(&id).await?.map(|row| row.status);
        let illegal = status.map(|status| Illegal { status, input });
        return Ok(Stepped {
            outcome: Outcome::Illegal(illegal.unwrap_or(Illegal {
                status: before,
                input,
            })),
            after: status,
            id,
            before,
            events: 0,
        });
    }
    let mut lane = Lane::new(Arc::clone(shared), first_lane(&id));
    // A host may be at it too: then it is done by the time that the lane is free.
    loop {
        let now = shared.store.subscription(&id).await?;
        match now {
            Some(row) if row.status == Status::New => match lane.set_up(&row, input).await? {
                Step::Taken { retry_ms } | Step::Again { retry_ms } | Step::Wait { retry_ms } => {
                    pause(retry_ms).await;
                }
                Step::Worked | Step::Idle | Step::Gone => {}
            },
            other => return ended(shared, &id, before, other, 0).await,
        }
    }
}

async fn boot_one(
    shared: &Arc<Shared>,
    row: Subscription,
    limit: Option<u32>,
) -> Result<Stepped, Error> {
    let (id, before) = (row.id.clone(), row.status);
    if before != Status::Booting {
        let illegal = Illegal {
            status: before,
            input: Input::CaughtUp,
        };
        return Ok(Stepped::refused(&row, illegal));
    }
    let mut lane = Lane::new(Arc::clone(shared), first_lane(&id)).at_most(limit);
    loop {
        let now = shared.store.subscription(&id).await?;
        let still_booting = matches!(&now, Some(row) if row.status == Status::Booting);
        if !still_booting {
            return ended(shared, &id, before, now, lane.handled()).await;
        }
        match lane.step().await? {
            Step::Taken { retry_ms } | Step::Again { retry_ms } | Step::Wait { retry_ms } => {
                pause(retry_ms).await;
            }
            Step::Idle => {
                return Ok(Stepped {
                    id,
                    before,
                    after: now.map(|row| row.status),
                    outcome: Outcome::Limited,
                    events: lane.handled(),
                });
            }
            Step::Worked | Step::Gone => {}
        }
    }
}

/// The end of a verb: what the row says now.
async fn ended(
    shared: &Shared,
    id: &str,
    before: Status,
    now: Option<Subscription>,
    events: usize,
) -> Result<Stepped, Error> {
    let after = now.map(|row| row.status);
    let outcome = match after {
        Some(Status::Error(_)) => {
            let lanes = shared.store.lanes(Some(id)).await?;
            let error = lanes.into_iter().find_map(|lane| lane.error);
            Outcome::Failed(error.map_or_else(String::new, |error| error.message))
        }
        _ => Outcome::Done,
    };
    Ok(Stepped {
        id: id.to_owned(),
        before,
        after,
        outcome,
        events,
    })
}

impl Stepped {
    fn refused(row: &Subscription, illegal: Illegal) -> Stepped {
        Stepped {
            id: row.id.clone(),
            before: row.status,
            after: Some(row.status),
            outcome: Outcome::Illegal(illegal),
            events: 0,
        }
    }
}

fn first_lane(id: &str) -> LaneKey {
    LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    }
}

/// Does all that a lane has to do now. Whether there was anything.
async fn step_until_idle(lane: &mut Lane) -> Result<bool, Error> {
    let mut worked = false;
    loop {
        match lane.step().await? {
            Step::Worked => worked = true,
            Step::Idle | Step::Gone => return Ok(worked),
            // An error whose retry is not due stays for the next run.
            Step::Wait { .. } => return Ok(worked),
            // The other host does the work; what it leaves is done here.
            Step::Taken { retry_ms } | Step::Again { retry_ms } => pause(retry_ms).await,
        }
    }
}

async fn pause(retry_ms: u64) {
    tokio::time::sleep(Duration::from_millis(retry_ms)).await;
}
