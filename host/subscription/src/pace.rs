//! How much one batch takes: little near the head, where latency counts, and much in a rebuild, where a
//! transaction's own cost counts and a hot row is written once however often it changed.

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Kind};

/// Events of a batch near the head.
pub const LIVE_EVENTS_MAX: u32 = 100;
/// Events of a batch far from it: more than [`BATCH_MS`] leave time for, as a rule. Measured: 50,000 instead of 10,000 made a
/// fold half as fast again, since hot rows are written once a batch.
pub const BOOT_EVENTS_MAX: u32 = 100_000;
/// Chunks of a processor's batch far from the head, if its chunks are large.
pub const PROCESSOR_CHUNKS_MAX: u32 = 20;
/// Events of a processor's batch while it is muted, far from the head: the limits of one batch have to do for so many.
pub const MUTED_EVENTS_MAX: u32 = 1_000;
/// Events from which on a chunk is large: whoever asks for so many at a time does not mind more of them again.
pub const LARGE_CHUNK_EVENTS: u32 = 100;
/// Events in one call of a guest.
pub const CHUNK_EVENTS_MAX: u32 = 1_000;
/// Bytes of events in a batch: 64 MiB. They are never in memory together, and an event larger than this is a batch of its own.
pub const BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Statements of a guest in a batch after which it takes no further chunk. What a transaction overwrites the server can clear away
/// only once that has ended: measured, 20,000 statements on 2,000 rows took a half more of its time than 3,000, and twice where
/// each was of many rows. Lists of one call that overwrite little count for less.
pub const BATCH_STATEMENTS: u64 = 3_000;
/// Milliseconds after which a batch takes no further chunk.
pub const BATCH_MS: u64 = 1_000;

/// The limits of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Events in the batch.
    pub events: u32,
    /// Events in one call of the guest.
    pub chunk_events: u32,
    /// Bytes of events in the batch.
    pub bytes: u64,
    /// Statements of the guest, as far as they count, after which no further chunk is begun.
    pub statements: u64,
    /// Milliseconds after which no further chunk is begun.
    pub duration_ms: u64,
}

/// What a batch has taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub events: u32,
    /// Of the events.
    pub bytes: u64,
    /// Of the guest, as far as they count.
    pub statements: u64,
    pub elapsed_ms: u64,
}

/// Events of a batch that is `distance` positions from the head: all there is, within
/// [`LIVE_EVENTS_MAX`] and [`BOOT_EVENTS_MAX`].
pub fn batch_limit(distance: u64) -> u32 {
    u32::try_from(distance)
        .unwrap_or(u32::MAX)
        .clamp(LIVE_EVENTS_MAX, BOOT_EVENTS_MAX)
}

impl Pace {
    /// The pace of this guest, `distance` positions from the head. A processor commits after each of its chunks; if it asked
    /// for large ones and is far from the head, after several of them, since its commits wait for the disk. One that is muted
    /// has no effects that could be repeated, and takes many: else it might never reach a head that moves.
    pub fn of(guest: &Descriptor, is_muted: bool, distance: u64) -> Pace {
        let chunk_events = guest.chunk_events();
        let events = match guest.kind {
            Kind::Processor if is_muted => batch_limit(distance)
                .min(MUTED_EVENTS_MAX)
                .max(chunk_events),
            Kind::Projector => batch_limit(distance),
            Kind::Processor if chunk_events < LARGE_CHUNK_EVENTS => chunk_events,
            Kind::Processor => u32::try_from(distance)
                .unwrap_or(u32::MAX)
                .clamp(chunk_events, chunk_events * PROCESSOR_CHUNKS_MAX),
        };
        Pace {
            events,
            chunk_events,
            bytes: BATCH_BYTES_MAX,
            statements: BATCH_STATEMENTS,
            duration_ms: BATCH_MS,
        }
    }

    /// Whether a batch that has taken so much is to be committed now.
    pub fn is_full(&self, taken: Taken) -> bool {
        taken.events >= self.events
            || taken.bytes >= self.bytes
            || taken.statements >= self.statements
            || taken.elapsed_ms >= self.duration_ms
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH_BYTES_MAX, BATCH_MS, BATCH_STATEMENTS, Pace, Taken, batch_limit};
    use crate::{Descriptor, Kind, SubscriberId};

    fn guest(id: &str, kind: Kind, max_chunk: u32) -> Descriptor {
        let id = SubscriberId::parse(id, kind).expect("a good id");
        Descriptor {
            max_chunk,
            ..Descriptor::new(id, kind)
        }
    }

    #[test]
    fn follows_the_distance_to_the_head() {
        let cases = [
            (0, 100),
            (1, 100),
            (100, 100),
            (101, 101),
            (99_999, 99_999),
            (100_000, 100_000),
            (u64::MAX, 100_000),
        ];
        for (distance, events) in cases {
            assert_eq!(batch_limit(distance), events, "{distance}");
        }
    }

    #[test]
    fn a_processor_commits_after_each_chunk_of_one_unless_it_asks_for_more() {
        let cases = [
            (guest("a_1", Kind::Projector, 0), 100_000, 1_000),
            (guest("a_1", Kind::Projector, 10), 100_000, 10),
            (guest("a_1", Kind::Projector, u32::MAX), 100_000, 1_000),
            (guest("a", Kind::Processor, 0), 1, 1),
            (guest("a", Kind::Processor, 50), 50, 50),
            (guest("a", Kind::Processor, 100), 2_000, 100),
            (guest("a", Kind::Processor, u32::MAX), 20_000, 1_000),
        ];
        for (guest, events, chunk_events) in cases {
            let pace = Pace::of(&guest, false, 1_000_000);
            assert_eq!(
                (pace.events, pace.chunk_events),
                (events, chunk_events),
                "{guest:?}"
            );
        }
    }

    #[test]
    fn a_processor_with_large_chunks_commits_each_of_them_near_the_head() {
        let guest = guest("a", Kind::Processor, 200);
        for (distance, events) in [(0, 200), (200, 200), (201, 201), (1_000_000, 4_000)] {
            assert_eq!(
                Pace::of(&guest, false, distance).events,
                events,
                "{distance}"
            );
        }
    }

    #[test]
    fn a_processor_that_is_muted_takes_many_at_a_time() {
        for (chunk, distance, events) in [(0, 10, 100), (0, 700, 700), (50, 1_000_000, 1_000)] {
            let guest = guest("a", Kind::Processor, chunk);
            let pace = Pace::of(&guest, true, distance);
            let chunk_events = guest.chunk_events();
            assert_eq!((pace.events, pace.chunk_events), (events, chunk_events));
        }
    }

    #[test]
    fn is_full_at_any_of_its_limits() {
        let pace = Pace::of(&guest("a_1", Kind::Projector, 0), false, 500);
        let almost = Taken {
            events: 499,
            bytes: BATCH_BYTES_MAX - 1,
            statements: BATCH_STATEMENTS - 1,
            elapsed_ms: BATCH_MS - 1,
        };
        assert!(!pace.is_full(almost));
        let mut full = [almost; 4];
        full[0].events += 1;
        full[1].bytes += 1;
        full[2].statements += 1;
        full[3].elapsed_ms += 1;
        for taken in full {
            assert!(pace.is_full(taken), "{taken:?}");
        }
    }
}
