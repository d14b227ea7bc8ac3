//! The newest events of the log, read once for all lanes that follow the head.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use subscription::Filter;

use crate::store::{Page, RecordedEvent};

/// Events that are kept at most.
pub(super) const TAIL_EVENTS: usize = 1_000;

/// Bytes of events that are kept at most; a larger event is not kept, and lanes read it themselves.
const TAIL_BYTES: usize = 4 * 1024 * 1024;

/// Written by the task that follows the horizon, before it publishes one, and read by lanes.
#[derive(Default)]
pub(super) struct Tail {
    ring: RwLock<Ring>,
    seats: AtomicUsize,
}

/// Everything that lies in `(after, up_to]`.
#[derive(Default)]
struct Ring {
    after: i64,
    up_to: i64,
    events: VecDeque<RecordedEvent>,
    bytes: usize,
}

/// Held by a lane that follows the head: while there is one, the tail is worth reading.
pub(super) struct Seat(Arc<Tail>);

impl Tail {
    pub fn take_seat(self: &Arc<Tail>) -> Seat {
        self.seats.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }

    pub fn is_wanted(&self) -> bool {
        self.seats.load(Ordering::Relaxed) > 0
    }

    /// Up to where it is filled.
    pub fn up_to(&self) -> i64 {
        self.read().up_to
    }

    /// Adds all that there is in `(after, page.up_to]`.
    pub fn add(&self, after: i64, page: Page) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if ring.up_to != after {
            *ring = Ring::at(after);
        }
        ring.up_to = page.up_to;
        for event in page.events {
            ring.bytes += event.size_bytes();
            ring.events.push_back(event);
        }
        while ring.events.len() > TAIL_EVENTS || ring.bytes > TAIL_BYTES {
            let Some(oldest) = ring.events.pop_front() else {
                break;
            };
            ring.after = oldest.position;
            ring.bytes -= oldest.size_bytes();
        }
    }

    /// Begins anew behind a position.
    pub fn begin_at(&self, position: i64) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring::at(position);
    }

    /// What matches in `(after, up_to]`, at most so many events. `None`: it does not reach so far.
    pub fn page(&self, after: i64, up_to: i64, filter: &Filter, events_max: usize) -> Option<Page> {
        let ring = self.read();
        if after < ring.after || up_to > ring.up_to {
            return None;
        }
        let mut events = Vec::new();
        let matching = ring
            .between(after, up_to)
            .filter(|event| filter.matches(event.event_type(), event.stream(), &event.tags));
        for event in matching {
            if events.len() == events_max {
                let up_to = events
                    .last()
                    .map_or(after, |last: &RecordedEvent| last.position);
                return Some(Page { events, up_to });
            }
            events.push(event.clone());
        }
        Some(Page { events, up_to })
    }

    /// Shows all that lies in `(after, up_to]`. `false`, and nothing is shown: it does not reach so far.
    pub fn visit(&self, after: i64, up_to: i64, mut see: impl FnMut(&RecordedEvent)) -> bool {
        let ring = self.read();
        let reaches = after >= ring.after && up_to <= ring.up_to;
        if reaches {
            ring.between(after, up_to).for_each(&mut see);
        }
        reaches
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn at(position: i64) -> Ring {
        Ring {
            after: position,
            up_to: position,
            ..Ring::default()
        }
    }

    fn between(&self, after: i64, up_to: i64) -> impl Iterator<Item = &RecordedEvent> {
        let begin = self.events.partition_point(|event| event.position <= after);
        let behind = self.events.range(begin..);
        behind.take_while(move |event| event.position <= up_to)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Texts;

    fn event(position: i64, event_type: &str) -> RecordedEvent {
        RecordedEvent::bare(position, Texts::new("s-1", event_type, "{}", "{}"))
    }

    fn page(positions: std::ops::RangeInclusive<i64>) -> Page {
        Page {
            up_to: *positions.end(),
            events: positions
                .map(|at| event(at, if at % 2 == 0 { "Even" } else { "Odd" }))
                .collect(),
        }
    }

    fn positions(page: Option<Page>) -> Option<(Vec<i64>, i64)> {
        page.map(|page| {
            (
                page.events.iter().map(|event| event.position).collect(),
                page.up_to,
            )
        })
    }

    fn odd() -> Filter {
        let clause = subscription::Clause {
            types: vec![subscription::Pattern::Exact("Odd".to_owned())],
            ..subscription::Clause::default()
        };
        Filter(vec![clause])
    }

    #[test]
    fn answers_for_what_it_holds_and_for_nothing_else() {
        let tail = Tail::default();
        tail.add(10, page(11..=14));
        tail.add(14, page(15..=16));
        let all = Filter::default();
        assert_eq!(
            positions(tail.page(10, 16, &all, 9)),
            Some((vec![11, 12, 13, 14, 15, 16], 16))
        );
        assert_eq!(
            positions(tail.page(12, 15, &all, 9)),
            Some((vec![13, 14, 15], 15))
        );
        assert_eq!(
            positions(tail.page(12, 16, &odd(), 9)),
            Some((vec![13, 15], 16))
        );
        assert_eq!(positions(tail.page(15, 16, &odd(), 9)), Some((vec![], 16)));
        assert_eq!(
            positions(tail.page(9, 16, &all, 9)),
            None,
            "11 may have company below"
        );
        assert_eq!(positions(tail.page(10, 17, &all, 9)), None);
    }

    #[test]
    fn a_page_that_is_full_ends_with_its_last_event() {
        let tail = Tail::default();
        tail.add(0, page(1..=6));
        assert_eq!(positions(tail.page(0, 6, &odd(), 2)), Some((vec![1, 3], 3)));
        assert_eq!(
            positions(tail.page(0, 6, &odd(), 3)),
            Some((vec![1, 3, 5], 6))
        );
    }

    #[test]
    fn a_gap_begins_it_anew() {
        let tail = Tail::default();
        tail.add(0, page(1..=4));
        tail.add(6, page(7..=8));
        assert_eq!(positions(tail.page(4, 8, &Filter::default(), 9)), None);
        assert_eq!(
            positions(tail.page(6, 8, &Filter::default(), 9)),
            Some((vec![7, 8], 8))
        );
        tail.begin_at(20);
        assert_eq!(tail.up_to(), 20);
        assert_eq!(positions(tail.page(6, 8, &Filter::default(), 9)), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let tail = Tail::default();
        tail.add(0, page(1..=TAIL_EVENTS as i64 + 5));
        let up_to = TAIL_EVENTS as i64 + 5;
        assert_eq!(positions(tail.page(4, up_to, &odd(), 9)), None);
        let first = tail.page(5, up_to, &Filter::default(), 1);
        assert_eq!(positions(first), Some((vec![6], 6)));
    }

    #[test]
    fn is_wanted_while_a_lane_sits_there() {
        let tail = Arc::new(Tail::default());
        assert!(!tail.is_wanted());
        let seat = tail.take_seat();
        assert!(tail.is_wanted());
        drop(seat);
        assert!(!tail.is_wanted());
    }
}
