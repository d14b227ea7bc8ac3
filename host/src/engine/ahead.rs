//! The events of a lane, read ahead of its guest: pages come while the guest works, and what one batch leaves is there for
//! the next.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::store::{Error, Page, ReadFilter, ReadLimit, Reading, RecordedEvent, Store};

/// Events of the first page: few enough that the guest begins soon. It shows how large they are.
const FIRST_PAGE_EVENTS: i64 = 1_000;

/// Events of the others: many enough that the question costs nothing and the reader finds a place while a commit waits for the disk.
/// Measured: 10,000 instead of 5,000 made counting a tenth faster.
const PAGE_EVENTS: i64 = 10_000;

/// Bytes of a page that are aimed at; the next page has fewer events when this one was larger.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of a page. An event larger than this is a page of its own.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Pages that wait for the guest.
const PAGES: usize = 2;

/// Some events that follow one another.
pub(super) struct Chunk {
    pub events: Vec<RecordedEvent>,
    /// Everything that matches up to here has been taken out.
    pub up_to: i64,
}

/// What of the log a lane is to see next. It can be thrown away at any time: the log below the horizon never changes.
pub(super) struct Ahead {
    filter: ReadFilter,
    /// Nothing that matches lies between here and `after`.
    since: i64,
    /// Everything that matches up to here has been taken out.
    after: i64,
    rest: VecDeque<RecordedEvent>,
    /// Everything that matches up to here is in `rest`, or has been taken out.
    up_to: i64,
    pages: Option<Pages>,
}

/// Pages on their way.
struct Pages {
    receiver: mpsc::Receiver<Result<Page, Error>>,
    task: JoinHandle<()>,
}

impl Ahead {
    /// Begins to read what matches in `(after, up_to]`.
    pub fn begin(store: &Store, filter: ReadFilter, after: i64, up_to: i64) -> Ahead {
        let (sender, receiver) = mpsc::channel(PAGES);
        let reading = store.reading(filter.clone(), up_to);
        let task = tokio::spawn(read_pages(reading, after, up_to, sender));
        Ahead {
            filter,
            since: after,
            after,
            rest: VecDeque::new(),
            up_to: after,
            pages: Some(Pages { receiver, task }),
        }
    }

    /// What is at hand already. Nothing that matches lies between `since` and `after`, where the page begins.
    pub fn of(filter: ReadFilter, since: i64, after: i64, page: Page) -> Ahead {
        Ahead {
            filter,
            since,
            after,
            rest: page.events.into(),
            up_to: page.up_to,
            pages: None,
        }
    }

    /// Whether what comes next is what matches the filter behind this position.
    pub fn follows(&self, after: i64, filter: &ReadFilter) -> bool {
        (self.since..=self.after).contains(&after) && self.filter == *filter && !self.is_over()
    }

    /// The next events, as many as there are within the limit. Without any: nothing that matches is left.
    pub async fn chunk(&mut self, events_max: usize) -> Result<Chunk, Error> {
        while self.rest.len() < events_max
            && let Some(pages) = &mut self.pages
        {
            match pages.receiver.recv().await {
                Some(page) => {
                    let page = page?;
                    self.up_to = page.up_to;
                    match self.rest.is_empty() {
                        true => self.rest = page.events.into(),
                        false => self.rest.extend(page.events),
                    }
                    // Who reads on was woken by this, on this thread, and would wait here until the guest is through with all of it.
                    tokio::task::yield_now().await;
                }
                None => self.pages = None,
            }
        }
        let length = self.rest.len().min(events_max);
        let events: Vec<RecordedEvent> = self.rest.drain(..length).collect();
        self.after = match events.last() {
            Some(last) if !self.rest.is_empty() => last.position,
            _ => self.up_to,
        };
        self.since = self.after;
        Ok(Chunk {
            events,
            up_to: self.after,
        })
    }

    /// Whether some of them are at hand.
    pub fn has_events(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.rest.is_empty() && self.pages.is_none()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_pages(
    mut reading: Reading,
    mut after: i64,
    up_to: i64,
    pages: mpsc::Sender<Result<Page, Error>>,
) {
    let mut limit = ReadLimit {
        events: FIRST_PAGE_EVENTS,
        bytes: PAGE_BYTES_MAX,
    };
    while after < up_to {
        let page = reading.page(after, limit).await;
        if let Ok(page) = &page {
            after = page.up_to;
            limit.events = events_of_next(page);
        }
        let failed = page.is_err();
        if pages.send(page).await.is_err() || failed {
            return;
        }
    }
}

fn events_of_next(page: &Page) -> i64 {
    let bytes: usize = page.events.iter().map(RecordedEvent::size_bytes).sum();
    let average = bytes / page.events.len().max(1);
    i64::try_from(PAGE_BYTES / average.max(1)).map_or(PAGE_EVENTS, |n| n.clamp(1, PAGE_EVENTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Texts;

    fn event(position: i64) -> RecordedEvent {
        RecordedEvent::bare(
            position,
            Texts::new("s", "Happened", &"x".repeat(1_000), "{}"),
        )
    }

    fn page(positions: &[i64], up_to: i64) -> Page {
        Page {
            events: positions.iter().copied().map(event).collect(),
            up_to,
        }
    }

    async fn taken(ahead: &mut Ahead, events_max: usize) -> (Vec<i64>, i64) {
        let chunk = ahead.chunk(events_max).await.expect("nothing is read");
        let positions = chunk.events.iter().map(|event| event.position).collect();
        (positions, chunk.up_to)
    }

    #[tokio::test]
    async fn a_chunk_leaves_the_rest_for_the_next() {
        let everything = ReadFilter::everything();
        let mut ahead = Ahead::of(everything.clone(), 0, 0, page(&[2, 3, 5], 9));
        assert_eq!(taken(&mut ahead, 2).await, (vec![2, 3], 3));
        assert!(ahead.follows(3, &everything));
        assert!(!ahead.follows(2, &everything));
        assert_eq!(taken(&mut ahead, 2).await, (vec![5], 9));
        assert!(!ahead.follows(9, &everything), "it is used up");
        assert_eq!(taken(&mut ahead, 2).await, (vec![], 9));
    }

    #[test]
    fn what_has_been_passed_may_lie_before_it() {
        let everything = ReadFilter::everything();
        let ahead = Ahead::of(everything.clone(), 4, 7, page(&[8], 9));
        for (checkpoint, follows) in [(3, false), (4, true), (6, true), (7, true), (8, false)] {
            assert_eq!(
                ahead.follows(checkpoint, &everything),
                follows,
                "{checkpoint}"
            );
        }
    }

    #[test]
    fn pages_of_large_events_have_fewer_of_them() {
        assert_eq!(events_of_next(&page(&[], 9)), PAGE_EVENTS);
        let large = page(&[1, 2], 9);
        let expected = PAGE_BYTES as i64 / large.events[0].size_bytes() as i64;
        assert_eq!(events_of_next(&large), expected);
    }
}
