//! Whose batch may be open: those at the head, those that read history, and those that take long, apart from one another.
//!
//! Each open batch needs a connection, so there cannot be any number of them. If all had one queue, a few guests that never
//! come back would hold every place of it until their deadlines, and everybody else would wait. So a batch that takes long
//! moves to places of its own, and when those are taken, it is given up and waits there for its next turn.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Batches at the head that are open at the same time. Each needs a connection, and another one for reading.
const LIVE: usize = 8;

/// Batches that read history, and setups.
const BOOTING: usize = 4;

/// Batches that take long.
const SLOW: usize = 4;

/// A batch that takes longer than this is slow: a well-behaved guest's ends at about a second.
const SLOW_AFTER: Duration = Duration::from_millis(2_000);

/// How often a slow batch that found no place among the slow looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where a batch belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Live,
    Booting,
    /// The last one of this lane was slow.
    Slow,
}

pub(super) struct Turns {
    live: Semaphore,
    booting: Semaphore,
    slow: Semaphore,
    slow_after: Duration,
}

/// A batch may be open as long as this lives.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    queue: Queue,
    permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub fn new() -> Turns {
        Turns {
            live: Semaphore::new(LIVE),
            booting: Semaphore::new(BOOTING),
            slow: Semaphore::new(SLOW),
            slow_after: SLOW_AFTER,
        }
    }

    /// Waits for a place.
    pub async fn take(&self, queue: Queue) -> Turn<'_> {
        // None of them is ever closed.
        let permit = self.places(queue).acquire().await.ok();
        Turn {
            turns: self,
            queue,
            permit,
        }
    }

    fn places(&self, queue: Queue) -> &Semaphore {
        match queue {
            Queue::Live => &self.live,
            Queue::Booting => &self.booting,
            Queue::Slow => &self.slow,
        }
    }
}

impl Turn<'_> {
    /// Resolves when the batch has to be given up: it takes long, all places for that are taken, and others wait for its
    /// own. Until then it may go on.
    pub async fn over(&mut self) {
        if self.queue == Queue::Slow {
            return std::future::pending().await;
        }
        tokio::time::sleep(self.turns.slow_after).await;
        loop {
            if let Ok(permit) = self.turns.slow.try_acquire() {
                self.permit = Some(permit);
                self.queue = Queue::Slow;
                return std::future::pending().await;
            }
            if self.turns.places(self.queue).available_permits() == 0 {
                self.queue = Queue::Slow;
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether the next batch of the lane belongs among the slow ones.
    pub fn was_slow(&self, took: Duration) -> bool {
        took >= self.turns.slow_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as a test waits for what should come, and for what should not.
    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    fn turns() -> Turns {
        Turns {
            slow_after: Duration::from_millis(1),
            ..Turns::new()
        }
    }

    #[tokio::test]
    async fn slow_batches_make_room_and_the_next_ones_are_given_up() {
        let turns = turns();
        let mut moved = Vec::new();
        for _ in 0..SLOW {
            let mut turn = turns.take(Queue::Live).await;
            assert!(tokio::time::timeout(SHORT, turn.over()).await.is_err());
            moved.push(turn);
        }
        assert_eq!(turns.live.available_permits(), LIVE, "all of them moved");
        let mut stuck = turns.take(Queue::Live).await;
        let alone = tokio::time::timeout(SHORT, stuck.over()).await;
        assert!(alone.is_err(), "nobody else needs its place");
        let mut others = Vec::new();
        for _ in 1..LIVE {
            others.push(turns.take(Queue::Live).await);
        }
        tokio::time::timeout(LONG, stuck.over())
            .await
            .expect("given up");
    }

    #[tokio::test]
    async fn history_takes_no_place_from_the_head() {
        let turns = turns();
        let mut booting = Vec::new();
        for _ in 0..BOOTING {
            booting.push(turns.take(Queue::Booting).await);
        }
        turns.take(Queue::Live).await;
        let more = tokio::time::timeout(SHORT, turns.take(Queue::Booting)).await;
        assert!(more.is_err());
    }
}
