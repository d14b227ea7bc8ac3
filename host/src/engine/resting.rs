//! What a lane does that has nothing to do: it finds out without a batch, and then is parked until something comes for it.

use subscription::{Duty, RunMode, Status};

use super::ahead::Ahead;
use super::lane::Lane;
use super::parked::Refused;
use super::ready;
use super::shared::Shared;
use super::tail::TAIL_EVENTS;
use crate::store::{Error, PassedLane, ReadFilter, ReadLimit, Subscription};

/// What a lane waits for that has nothing to do. A change of its row ends all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is something to do after all.
    Not,
    UntilChange,
    UntilHorizon,
    /// Until something comes that its guest wants.
    Parked,
}

impl Lane {
    /// Where it stands, and whether there is anything for the guest from there on, asked in a session of the host. Of very many lanes
    /// few have something to do when a host starts; a batch of each would log in as another role.
    pub(super) async fn look(&mut self, known: &Subscription, horizon: i64) -> Result<(), Error> {
        let store = &self.shared.store;
        let Some(position) = store.checkpoint(&self.key, &known.revision).await? else {
            return Ok(());
        };
        if position < horizon {
            let filter = ReadFilter::from(&known.descriptor.filter);
            let first = ReadLimit {
                events: 1,
                bytes: usize::MAX,
            };
            let page = store.read_events(position, horizon, &filter, first).await?;
            if !page.events.is_empty() {
                return Ok(());
            }
        }
        self.stands_at(position);
        self.position = Some(position.max(horizon));
        self.carried.passed_to = position.max(horizon);
        Ok(())
    }

    /// At the head the newest events are at hand: whether there is nothing for the guest among them. Then no batch is opened,
    /// and the checkpoint follows later.
    pub(super) fn passes(&mut self, known: &Subscription, horizon: i64) -> bool {
        if !self.follows(known) {
            self.leave();
            return false;
        }
        let tail = &self.shared.tail;
        self.seat.get_or_insert_with(|| tail.take_seat());
        let filter = &known.descriptor.filter;
        let page = self.position.and_then(|position| {
            Some((position, tail.page(position, horizon, filter, TAIL_EVENTS)?))
        });
        match page {
            None => false,
            Some((_, page)) if page.events.is_empty() => {
                self.position = Some(horizon);
                self.carried.passed_to = horizon;
                true
            }
            Some((position, page)) => {
                let filter = ReadFilter::of(&known.descriptor);
                self.carried.ahead = Some(Ahead::of(filter, self.checkpoint, position, page));
                false
            }
        }
    }

    pub(super) fn follows(&self, known: &Subscription) -> bool {
        known.status == Status::Active
            && known.run_mode != RunMode::Once
            && !known.muted
            && self.isolation.is_none()
            && self.left.is_none()
    }

    /// It does not follow the head any more.
    pub(super) fn leave(&mut self) {
        if self.seat.take().is_some() {
            self.shared.parked.forget(&self.key);
            self.shared.waiting.forget(&self.key);
        }
    }

    /// Says what it waits for when there is nothing to do.
    pub fn rest(&mut self) -> Rest {
        let Some(known) = &self.known else {
            return Rest::Not;
        };
        if known.status.duty() != Duty::Process {
            self.leave();
            return Rest::UntilChange;
        }
        let Some(position) = self.position.filter(|_| self.follows(known)) else {
            return Rest::UntilHorizon;
        };
        let Shared { tail, parked, .. } = &*self.shared;
        self.seat.get_or_insert_with(|| tail.take_seat());
        let lane = PassedLane {
            key: self.key.clone(),
            from: self.checkpoint,
            to: position,
            revision: known.revision.clone(),
        };
        match parked.park(lane, &known.descriptor.filter, &self.wake) {
            Ok(()) => Rest::Parked,
            Err(Refused::TooLate) => Rest::Not,
            Err(Refused::Lost) => {
                self.position = None;
                Rest::Not
            }
        }
    }

    /// Makes an instance for the next batch, if the guest has been handed events since the last one was made: of very many lanes few have
    /// something to do.
    pub async fn get_ready(&mut self) {
        let Some(known) = self.known.clone() else {
            return;
        };
        let waiting = &self.shared.waiting;
        if std::mem::take(&mut self.has_handled) || waiting.is_outdated(&self.key, &known.revision)
        {
            ready::make(&self.shared, &self.key, &known).await;
        }
    }

    /// Resolves when something has come for a lane that is parked.
    pub async fn woken(&mut self) {
        self.wake.notified().await;
    }

    /// After it was parked.
    pub fn unpark(&mut self) {
        self.position = self.shared.parked.unpark(&self.key);
        self.carried.passed_to = self.position.unwrap_or(self.checkpoint);
    }
}
