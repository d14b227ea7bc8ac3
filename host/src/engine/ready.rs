//! Fresh instances that wait for the next batches of their lanes. To make one takes as long as all the rest that the host does for one
//! event, so it is made while nothing comes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::call::{self, Call};
use super::shared::Shared;
use crate::guest::Instance;
use crate::store::{LaneKey, Subscription};

/// Instances that wait at most, those of all lanes together: each takes the memory that its guest begins with.
const PLACES: usize = 16;

/// An instance that has waited for so long makes room for that of another lane. Where more lanes than there are places have events all
/// the time, none is made only to go again.
const KEEPS_ITS_PLACE: Duration = Duration::from_secs(10);

/// The instances that wait, one a lane at most, the one first that has waited for longest.
pub(super) struct Waiting<T = Instance>(Mutex<VecDeque<Place<T>>>);

struct Place<T> {
    lane: LaneKey,
    /// Of the row that said how to make it.
    revision: String,
    instance: T,
    since: Instant,
}

impl<T> Default for Waiting<T> {
    fn default() -> Waiting<T> {
        Waiting(Mutex::default())
    }
}

impl<T> Waiting<T> {
    /// That of a lane, if it was made as this row says.
    pub fn take(&self, lane: &LaneKey, revision: &str) -> Option<T> {
        let place = self.leave(lane)?;
        (place.revision == revision).then_some(place.instance)
    }

    /// Whether that of a lane was made as another row says.
    pub fn is_outdated(&self, lane: &LaneKey, revision: &str) -> bool {
        let places = self.lock();
        let mut of_lane = places.iter().filter(|place| place.lane == *lane);
        of_lane.any(|place| place.revision != revision)
    }

    /// The lane does not follow the head any more.
    pub fn forget(&self, lane: &LaneKey) {
        drop(self.leave(lane));
    }

    /// Whether there is a place for that of a lane.
    fn has_room(&self, lane: &LaneKey, now: Instant) -> bool {
        let places = self.lock();
        let oldest = places.front().map(|oldest| now - oldest.since);
        places.len() < PLACES
            || oldest >= Some(KEEPS_ITS_PLACE)
            || places.iter().any(|place| place.lane == *lane)
    }

    fn put(&self, lane: LaneKey, revision: String, instance: T, since: Instant) {
        let before = self.leave(&lane);
        let mut places = self.lock();
        places.push_back(Place {
            lane,
            revision,
            instance,
            since,
        });
        let oldest = (places.len() > PLACES).then(|| places.pop_front());
        // It takes the system a while to take their memory back.
        drop(places);
        drop((before, oldest));
    }

    fn leave(&self, lane: &LaneKey) -> Option<Place<T>> {
        let mut places = self.lock();
        let number = places.iter().position(|place| place.lane == *lane)?;
        places.remove(number)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Place<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an instance for the next batch of a lane, if there is room.
pub(super) async fn make(shared: &Arc<Shared>, lane: &LaneKey, known: &Subscription) {
    let now = Instant::now();
    if !shared.waiting.has_room(lane, now) {
        return;
    }
    let Some(mut instance) = start(shared, known).await else {
        return;
    };
    if instance.warm_up().await.is_ok() {
        let revision = known.revision.clone();
        shared.waiting.put(lane.clone(), revision, instance, now);
    }
}

/// A fresh instance without a batch. `None`: it cannot be started like that, or not at all, which is found out again with one.
pub(super) async fn start(shared: &Arc<Shared>, known: &Subscription) -> Option<Instance> {
    let prepared = call::prepare_first(shared, known, &known.module).await;
    let Call {
        module,
        context,
        limits,
    } = prepared.ok()?.ok()?;
    Instance::start_early(&module, context, limits).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: usize) -> LaneKey {
        LaneKey {
            subscription: format!("guest_{number}"),
            lane: 0,
        }
    }

    fn put(waiting: &Waiting<usize>, number: usize, revision: &str, since: Instant) {
        waiting.put(lane(number), revision.to_owned(), number, since);
    }

    fn full(since: Instant) -> Waiting<usize> {
        let waiting = Waiting::default();
        for number in 0..PLACES {
            assert!(waiting.has_room(&lane(number), since));
            put(&waiting, number, "1", since);
        }
        waiting
    }

    #[test]
    fn each_is_taken_once_and_only_under_its_row() {
        let waiting = full(Instant::now());
        assert_eq!(waiting.take(&lane(3), "1"), Some(3));
        assert_eq!(waiting.take(&lane(3), "1"), None);
        assert!(!waiting.is_outdated(&lane(4), "1"));
        assert!(waiting.is_outdated(&lane(4), "2"));
        assert_eq!(waiting.take(&lane(4), "2"), None);
        assert_eq!(
            waiting.take(&lane(4), "1"),
            None,
            "it is of no use any more"
        );
    }

    #[test]
    fn one_that_has_waited_for_long_makes_room() {
        let began = Instant::now();
        let waiting = full(began);
        let late = lane(PLACES);
        assert!(!waiting.has_room(&late, began + KEEPS_ITS_PLACE / 2));
        put(&waiting, 0, "1", began + KEEPS_ITS_PLACE / 2);
        assert!(waiting.has_room(&late, began + KEEPS_ITS_PLACE));
        put(&waiting, PLACES, "1", began + KEEPS_ITS_PLACE);
        assert_eq!(waiting.take(&lane(1), "1"), None);
        assert_eq!(
            waiting.take(&lane(0), "1"),
            Some(0),
            "it came back meanwhile"
        );
        assert_eq!(waiting.take(&late, "1"), Some(PLACES));
    }

    #[test]
    fn a_lane_has_one_place_and_gives_it_back() {
        let now = Instant::now();
        let waiting = full(now);
        assert!(waiting.has_room(&lane(5), now), "its own");
        put(&waiting, 5, "2", now);
        assert_eq!(waiting.take(&lane(0), "1"), Some(0), "nobody had to go");
        waiting.forget(&lane(5));
        assert_eq!(waiting.take(&lane(5), "2"), None);
    }
}
