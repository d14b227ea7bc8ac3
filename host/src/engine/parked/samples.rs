//! Lanes, filters and events for the tests of parked lanes.

use std::pin::pin;
use std::task::{Context, Waker};

use subscription::{Clause, Filter, Pattern};
use tokio::sync::Notify;

use crate::store::{LaneKey, Page, PassedLane, RecordedEvent, Texts};

pub fn key(number: usize) -> LaneKey {
    LaneKey {
        subscription: format!("s_{number}"),
        lane: 0,
    }
}

pub fn lane(number: usize, from: i64, to: i64) -> PassedLane {
    PassedLane {
        key: key(number),
        from,
        to,
        revision: "1".to_owned(),
    }
}

/// One for events of this type, everything for `*`.
pub fn filter(event_type: &str) -> Filter {
    let types = vec![event_type.parse::<Pattern>().expect("a pattern")];
    Filter(vec![Clause {
        types,
        ..Clause::default()
    }])
}

pub fn event(position: i64, event_type: &str) -> RecordedEvent {
    RecordedEvent::bare(position, Texts::new("s-1", event_type, "{}", "{}"))
}

pub fn events(after: i64, types: &[&str]) -> Page {
    let events: Vec<RecordedEvent> = (after + 1..)
        .zip(types)
        .map(|(position, event_type)| event(position, event_type))
        .collect();
    let up_to = after + types.len() as i64;
    Page { events, up_to }
}

pub fn is_woken(wake: &Notify) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(wake.notified()).poll(&mut context).is_ready()
}
