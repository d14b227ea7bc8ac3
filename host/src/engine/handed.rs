//! What is remembered of the events of an attempt, to name the one that is to blame.

use std::collections::HashMap;

use crate::store::RecordedEvent;

/// Types that are compared one by one, which takes less than to hash.
const FEW_TYPES: usize = 8;

/// Position and type of each event that a guest was handed. There are many events and few types.
#[derive(Debug, Default)]
pub(super) struct Handed {
    events: Vec<(i64, usize)>,
    types: Vec<String>,
    places: HashMap<String, usize>,
}

impl Handed {
    pub fn add(&mut self, events: &[RecordedEvent]) {
        self.events.reserve(events.len());
        for event in events {
            let place = self.place(event.event_type());
            self.events.push((event.position, place));
        }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The event that was handed over after so many others.
    pub fn at(&self, before: usize) -> Option<(i64, String)> {
        let (position, place) = self.events.get(before)?;
        Some((*position, self.types[*place].clone()))
    }

    fn place(&mut self, event_type: &str) -> usize {
        let mut first = self.types.iter().take(FEW_TYPES);
        if let Some(place) = first.position(|known| known == event_type) {
            return place;
        }
        if let Some(place) = self.places.get(event_type) {
            return *place;
        }
        let place = self.types.len();
        self.types.push(event_type.to_owned());
        self.places.insert(event_type.to_owned(), place);
        place
    }
}
