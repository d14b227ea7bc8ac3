//! Lanes at the head for which there is nothing to do. Nobody touches them until something comes that a guest wants: whoever
//! follows the horizon compares each new event once with what all of them want, and wakes those that it is for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subscription::{Filter, FilterIndex};
use tokio::sync::Notify;

use super::tail::Tail;
use crate::store::{LaneKey, PassedLane, RecordedEvent};

#[derive(Default)]
pub(super) struct Parked {
    lot: Mutex<Lot>,
    /// There may be checkpoints to move.
    behind: Notify,
}

/// Why a lane is not parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Events behind its position have been told to those who were parked then.
    TooLate,
    /// Its checkpoint is not where this host left it.
    Lost,
}

#[derive(Default)]
struct Lot {
    /// Up to here events have been told to those whom they are for.
    told: i64,
    filters: FilterIndex<LaneKey>,
    places: HashMap<LaneKey, Place>,
    /// There may be checkpoints to move, and nobody was told yet.
    is_untold: bool,
}

/// What is known of a lane that is parked, or was.
struct Place {
    /// Nothing that its guest wants lies up to `to`, unless it is parked: then up to where events have been told.
    passed: PassedLane,
    /// Whom to wake while it is parked.
    parked: Option<Arc<Notify>>,
    trust: Trust,
}

/// What this host may do about a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Move it from where it is known to be.
    Known,
    /// Nothing: a batch moves it, or the row of its subscription is another one by now, as the worker will hear.
    Unknown,
    /// Nothing: it is behind where this host left it, as after a crash of a server on which nobody waited for the disk. What
    /// lies between is not passed but to be handled again.
    Lost,
}

impl Parked {
    /// From now on `wake` is notified when something comes that this filter wants. What is known already of where the checkpoint
    /// is counts more than `lane.from`.
    pub fn park(
        &self,
        lane: PassedLane,
        filter: &Filter,
        wake: &Arc<Notify>,
    ) -> Result<(), Refused> {
        let mut lot = self.lock();
        if lane.to < lot.told {
            return Err(Refused::TooLate);
        }
        let known = lot.places.get_mut(&lane.key);
        let known = known.filter(|place| place.passed.revision == lane.revision);
        let place = match known {
            Some(place) if place.trust == Trust::Lost => return Err(Refused::Lost),
            Some(place) => {
                if place.trust == Trust::Unknown {
                    place.passed.from = lane.from;
                }
                place.passed.to = lane.to;
                place.trust = Trust::Known;
                place.parked = Some(Arc::clone(wake));
                place
            }
            None => {
                lot.filters.insert(lane.key.clone(), filter.clone());
                let place = Place {
                    passed: lane.clone(),
                    parked: Some(Arc::clone(wake)),
                    trust: Trust::Known,
                };
                lot.places.entry(lane.key).insert_entry(place).into_mut()
            }
        };
        let is_behind = place.passed.from < place.passed.to;
        if std::mem::take(&mut lot.is_untold) || is_behind {
            self.behind.notify_one();
        }
        Ok(())
    }

    /// It is up again. Says up to where there is nothing that its guest wants; `None`: that is not known any more.
    pub fn unpark(&self, key: &LaneKey) -> Option<i64> {
        let mut lot = self.lock();
        let told = lot.told;
        let place = lot.places.get_mut(key)?;
        place.get_up(told);
        (place.trust != Trust::Lost).then_some(place.passed.to)
    }

    /// A batch moves its checkpoint.
    pub fn works(&self, key: &LaneKey) {
        if let Some(place) = self.lock().places.get_mut(key) {
            place.trust = Trust::Unknown;
        }
    }

    /// It does not follow the head any more.
    pub fn forget(&self, key: &LaneKey) {
        let mut lot = self.lock();
        lot.filters.remove(key);
        lot.places.remove(key);
        if std::mem::take(&mut lot.is_untold) {
            self.behind.notify_one();
        }
    }

    /// Wakes those for whom something lies up to the horizon; all of them, if that is more than the tail holds.
    pub fn tell(&self, tail: &Tail, horizon: i64) {
        let mut lot = self.lock();
        let told = lot.told;
        if horizon <= told {
            return;
        }
        let mut woken = Vec::new();
        if !tail.visit(told, horizon, |event| lot.get_up_for(event, &mut woken)) {
            let places = lot.places.values_mut();
            woken.extend(places.filter_map(|place| place.get_up(told)));
        }
        lot.told = horizon;
        // Readers wait for what those do who are woken. Whatever else is to be done waits until one of them rests again.
        lot.is_untold = !woken.is_empty();
        if woken.is_empty() && lot.places.values().any(|place| place.is_due(horizon)) {
            self.behind.notify_one();
        }
        // Those who are woken ask for their places at once.
        drop(lot);
        woken.iter().for_each(|wake| wake.notify_one());
    }

    /// Resolves when there may be checkpoints to move.
    pub async fn behind(&self) {
        self.behind.notified().await;
    }

    /// The same again at the next look.
    pub fn is_still_behind(&self) {
        self.behind.notify_one();
    }

    /// Lanes whose checkpoints are to be moved.
    pub fn due(&self) -> Vec<PassedLane> {
        let lot = self.lock();
        let due = lot.places.values().filter(|place| place.is_due(lot.told));
        due.map(|place| PassedLane {
            to: place.to(lot.told),
            ..place.passed.clone()
        })
        .collect()
    }

    /// Takes where checkpoints are after some were to be moved. Those that are missing belong to subscriptions that have changed.
    pub fn moved(&self, passed: &[PassedLane], now: &HashMap<LaneKey, i64>) {
        let mut lot = self.lock();
        let told = lot.told;
        for PassedLane { key, from, .. } in passed {
            let place = lot.places.get_mut(key);
            let Some(place) = place.filter(|place| place.is_at(*from)) else {
                continue;
            };
            match now.get(key) {
                Some(position) if position < from => {
                    place.trust = Trust::Lost;
                    if let Some(wake) = place.get_up(told) {
                        wake.notify_one();
                    }
                }
                Some(position) => place.passed.from = *position,
                None => place.trust = Trust::Unknown,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lot {
    fn get_up_for(&mut self, event: &RecordedEvent, woken: &mut Vec<Arc<Notify>>) {
        let wanting = self
            .filters
            .wanting(event.event_type(), event.stream(), &event.tags);
        for key in wanting {
            if let Some(place) = self.places.get_mut(key)
                && place.passed.to < event.position
            {
                woken.extend(place.get_up(event.position - 1));
            }
        }
    }
}

impl Place {
    /// Up to where there is nothing that its guest wants.
    fn to(&self, told: i64) -> i64 {
        match self.parked {
            Some(_) => self.passed.to.max(told),
            None => self.passed.to,
        }
    }

    fn is_due(&self, told: i64) -> bool {
        self.is_at(self.passed.from) && self.passed.from < self.to(told)
    }

    fn is_at(&self, from: i64) -> bool {
        self.trust == Trust::Known && self.passed.from == from
    }

    /// It is parked no longer. Says whom to wake, if it was.
    fn get_up(&mut self, told: i64) -> Option<Arc<Notify>> {
        self.passed.to = self.to(told);
        self.parked.take()
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::samples::{events, filter, is_woken, key, lane};
    use super::*;

    fn moved(parked: &Parked, passed: &[PassedLane], now: &[(usize, i64)]) {
        parked.moved(passed, &now.iter().map(|(n, at)| (key(*n), *at)).collect());
    }

    #[test]
    fn only_those_are_woken_for_whom_something_came() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wakes: [Arc<Notify>; 3] = Default::default();
        for (number, wanted) in ["a", "b", "*"].into_iter().enumerate() {
            let parked = parked.park(lane(number, 0, 0), &filter(wanted), &wakes[number]);
            assert_eq!(parked, Ok(()));
        }
        tail.add(0, events(0, &["c", "b", "a"]));
        parked.tell(&tail, 2);
        assert_eq!(
            [0, 1, 2].map(|n: usize| is_woken(&wakes[n])),
            [false, true, true]
        );
        assert_eq!(
            [0, 1, 2].map(|number| parked.unpark(&key(number))),
            [Some(2), Some(1), Some(0)],
            "up to there nothing came for them"
        );
    }

    #[test]
    fn all_are_woken_when_the_tail_does_not_reach() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wake = Arc::default();
        tail.begin_at(4);
        parked.tell(&tail, 4);
        assert_eq!(parked.park(lane(0, 4, 4), &filter("a"), &wake), Ok(()));
        tail.begin_at(9);
        parked.tell(&tail, 9);
        assert!(is_woken(&wake));
        assert_eq!(parked.unpark(&key(0)), Some(4));
    }

    #[test]
    fn nobody_is_parked_before_what_has_been_told() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wake = Arc::default();
        tail.add(0, events(0, &["a"]));
        parked.tell(&tail, 1);
        let too_early = parked.park(lane(0, 0, 0), &filter("a"), &wake);
        assert_eq!(too_early, Err(Refused::TooLate));
        // It may be further, when another host was faster.
        assert_eq!(parked.park(lane(0, 2, 2), &filter("a"), &wake), Ok(()));
        tail.add(1, events(1, &["a", "a"]));
        parked.tell(&tail, 2);
        assert!(!is_woken(&wake));
        parked.tell(&tail, 3);
        assert!(is_woken(&wake));
    }

    #[test]
    fn checkpoints_follow_those_who_are_parked() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wake = Arc::default();
        assert_eq!(parked.park(lane(0, 0, 0), &filter("a"), &wake), Ok(()));
        assert_eq!(parked.due(), []);
        tail.add(0, events(0, &["b", "b"]));
        parked.tell(&tail, 1);
        let due = parked.due();
        assert_eq!(due, [lane(0, 0, 1)]);
        parked.tell(&tail, 2);
        moved(&parked, &due, &[(0, 1)]);
        assert_eq!(parked.due(), [lane(0, 1, 2)]);
        // Who works moves his checkpoint himself.
        assert_eq!(parked.unpark(&key(0)), Some(2));
        parked.works(&key(0));
        assert_eq!(parked.due(), []);
        assert_eq!(parked.park(lane(0, 2, 2), &filter("a"), &wake), Ok(()));
        assert_eq!(parked.due(), []);
    }

    #[test]
    fn who_moves_checkpoints_is_told_when_those_rest_who_were_woken() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wakes: [Arc<Notify>; 2] = Default::default();
        for (number, wanted) in ["a", "b"].into_iter().enumerate() {
            let parked = parked.park(lane(number, 0, 0), &filter(wanted), &wakes[number]);
            assert_eq!(parked, Ok(()));
        }
        assert!(!is_woken(&parked.behind));
        tail.add(0, events(0, &["a", "c", "a", "b"]));
        parked.tell(&tail, 1);
        assert!(!is_woken(&parked.behind), "the guest is at work");
        assert_eq!(parked.unpark(&key(0)), Some(0));
        parked.works(&key(0));
        let again = parked.park(lane(0, 1, 1), &filter("a"), &wakes[0]);
        assert_eq!(again, Ok(()));
        assert!(is_woken(&parked.behind));
        parked.tell(&tail, 2);
        assert!(is_woken(&parked.behind), "nobody was woken");
        parked.tell(&tail, 3);
        assert!(!is_woken(&parked.behind));
        parked.forget(&key(0));
        assert!(is_woken(&parked.behind), "it will not rest here again");
    }

    #[test]
    fn under_another_row_another_filter_counts_and_nothing_is_passed_for_the_old_one() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wake = Arc::default();
        assert_eq!(parked.park(lane(0, 0, 0), &filter("a"), &wake), Ok(()));
        tail.add(0, events(0, &["b", "b", "a", "b"]));
        parked.tell(&tail, 1);
        let due = parked.due();
        // The row is not what it was: the statement says nothing of it.
        moved(&parked, &due, &[]);
        assert_eq!(parked.due(), []);
        let changed = PassedLane {
            revision: "2".to_owned(),
            ..lane(0, 1, 1)
        };
        assert_eq!(parked.park(changed.clone(), &filter("b"), &wake), Ok(()));
        parked.tell(&tail, 2);
        assert!(is_woken(&wake));
        assert_eq!(
            parked.park(PassedLane { to: 2, ..changed }, &filter("b"), &wake),
            Ok(())
        );
        parked.tell(&tail, 3);
        assert!(!is_woken(&wake), "the old filter is forgotten");
        parked.forget(&key(0));
        parked.tell(&tail, 4);
        assert!(!is_woken(&wake));
        assert_eq!(parked.unpark(&key(0)), None);
    }

    #[test]
    fn a_checkpoint_that_went_back_is_for_a_batch() {
        let (parked, tail) = (Parked::default(), Tail::default());
        let wake = Arc::default();
        tail.begin_at(5);
        parked.tell(&tail, 5);
        assert_eq!(parked.park(lane(0, 5, 5), &filter("a"), &wake), Ok(()));
        tail.add(5, events(5, &["b", "b"]));
        parked.tell(&tail, 6);
        moved(&parked, &parked.due(), &[(0, 3)]);
        assert_eq!(parked.due(), [], "what lies between 3 and 5 was lost");
        assert!(is_woken(&wake));
        let again = parked.park(lane(0, 5, 6), &filter("a"), &wake);
        assert_eq!(again, Err(Refused::Lost));
        assert_eq!(parked.unpark(&key(0)), None);
        parked.works(&key(0));
        assert_eq!(parked.park(lane(0, 6, 6), &filter("a"), &wake), Ok(()));
        parked.tell(&tail, 7);
        assert_eq!(parked.due(), [lane(0, 6, 7)]);
    }
}
