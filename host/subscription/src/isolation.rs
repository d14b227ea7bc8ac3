//! Finding the one event that a batch fails at, so that everything before it is committed.
//!
//! A guest that answers says how many events it handled, and the next one is the culprit. A guest that trapped
//! says nothing, so a projector's batch is halved: rolled back, it had no effect. A processor's effects cannot
//! be rolled back, so its batch is delivered again one event at a time.
//!
//! The search may end without a culprit: a batch that ran out of time or memory as a whole can pass in parts.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// What a failure tells about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clue {
    /// So many leading events were dealt with completely; the next one failed.
    Handled(u32),
    /// Nothing: a trap, a limit, a failing commit.
    Unknown,
}

/// The next step of the search, counted from the checkpoint.
///
/// ```
/// use subscription::{Clue, Isolation, Kind};
///
/// let step = Isolation::begin(Kind::Projector, 100, Clue::Handled(41));
/// assert_eq!(step.events(), Some(41));
/// assert_eq!(step.committed(), Some(Isolation::Culprit));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// Run so many events and commit them; the event after them is the culprit.
    Before { events: u32 },
    /// Run so many events and commit them; the culprit is thought to be among the first `suspects`.
    Among {
        kind: Kind,
        events: u32,
        suspects: u32,
    },
    /// The next event alone is to blame: the verdict applies to it.
    Culprit,
}

impl Isolation {
    /// The first step after a batch of `ran` events failed. A count that cannot be true (a guest that claims to
    /// have handled everything and failed) is no clue.
    pub fn begin(kind: Kind, ran: u32, clue: Clue) -> Isolation {
        match (kind, clue) {
            _ if ran <= 1 => Isolation::Culprit,
            (_, Clue::Handled(0)) => Isolation::Culprit,
            (Kind::Projector, Clue::Handled(events)) if events < ran => {
                Isolation::Before { events }
            }
            _ => Isolation::among(kind, ran),
        }
    }

    /// How many events the next attempt takes; `None` when there is none to make.
    pub fn events(self) -> Option<u32> {
        match self {
            Isolation::Before { events } | Isolation::Among { events, .. } => Some(events),
            Isolation::Culprit => None,
        }
    }

    /// The step after the attempt was committed; `None`: nobody was to blame, go on as usual.
    pub fn committed(self) -> Option<Isolation> {
        match self {
            Isolation::Before { .. } => Some(Isolation::Culprit),
            Isolation::Among {
                kind,
                events,
                suspects,
            } => match suspects.saturating_sub(events) {
                0 => None,
                rest => Some(Isolation::among(kind, rest)),
            },
            Isolation::Culprit => None,
        }
    }

    /// The step after the attempt failed as well.
    pub fn failed(self, clue: Clue) -> Isolation {
        match self {
            Isolation::Before { events } => Isolation::begin(Kind::Projector, events, clue),
            Isolation::Among { kind, events, .. } => Isolation::begin(kind, events, clue),
            Isolation::Culprit => Isolation::Culprit,
        }
    }

    fn among(kind: Kind, suspects: u32) -> Isolation {
        let events = match kind {
            Kind::Projector => (suspects / 2).max(1),
            Kind::Processor => 1,
        };
        Isolation::Among {
            kind,
            events,
            suspects,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Clue, Isolation};
    use crate::Kind;

    #[test]
    fn first_step_by_kind_size_and_clue() {
        use Isolation::{Among, Before, Culprit};
        let (projector, processor) = (Kind::Projector, Kind::Processor);
        let cases = [
            (projector, 1, Clue::Unknown, Culprit),
            (projector, 1, Clue::Handled(0), Culprit),
            (projector, 1, Clue::Handled(1), Culprit),
            (projector, 9, Clue::Handled(0), Culprit),
            (projector, 9, Clue::Handled(8), Before { events: 8 }),
            (
                projector,
                9,
                Clue::Handled(9),
                Among {
                    kind: projector,
                    events: 4,
                    suspects: 9,
                },
            ),
            (
                projector,
                9,
                Clue::Unknown,
                Among {
                    kind: projector,
                    events: 4,
                    suspects: 9,
                },
            ),
            (processor, 1, Clue::Unknown, Culprit),
            (processor, 9, Clue::Handled(0), Culprit),
            (
                processor,
                9,
                Clue::Handled(8),
                Among {
                    kind: processor,
                    events: 1,
                    suspects: 9,
                },
            ),
            (
                processor,
                9,
                Clue::Unknown,
                Among {
                    kind: processor,
                    events: 1,
                    suspects: 9,
                },
            ),
        ];
        for (kind, ran, clue, expected) in cases {
            assert_eq!(
                Isolation::begin(kind, ran, clue),
                expected,
                "{kind:?} {ran} {clue:?}"
            );
        }
    }

    /// Runs the search against a guest that traps whenever `traps` says so; returns the events committed, the
    /// culprit if one was found, and the number of attempts.
    fn search(kind: Kind, ran: u32, traps: impl Fn(u32, u32) -> bool) -> (u32, Option<u32>, u32) {
        let (mut committed, mut attempts) = (0, 0);
        let mut step = Some(Isolation::begin(kind, ran, Clue::Unknown));
        while let Some(events) = step.and_then(Isolation::events) {
            attempts += 1;
            step = if traps(committed, events) {
                step.map(|step| step.failed(Clue::Unknown))
            } else {
                committed += events;
                step.and_then(Isolation::committed)
            };
        }
        (committed, step.map(|_| committed), attempts)
    }

    proptest! {
        #[test]
        fn a_trapping_event_is_found_and_all_before_it_committed(
            ran in 1_u32..20_000, at in 0_u32..20_000, is_processor: bool,
        ) {
            let kind = if is_processor { Kind::Processor } else { Kind::Projector };
            let culprit = at % ran;
            let traps = |first: u32, events: u32| (first..first + events).contains(&culprit);
            let (committed, found, attempts) = search(kind, ran, traps);
            prop_assert_eq!((committed, found), (culprit, Some(culprit)));
            match kind {
                Kind::Projector => prop_assert!(attempts <= ran.ilog2() + 2, "{attempts} for {ran}"),
                Kind::Processor => prop_assert!(attempts <= culprit + 1),
            }
        }

        #[test]
        fn a_batch_that_was_only_too_large_ends_without_a_culprit(ran in 2_u32..20_000) {
            let (committed, found, _) = search(Kind::Projector, ran, |_, events| events > ran / 3 + 1);
            prop_assert_eq!(found, None);
            prop_assert!(committed > 0 && committed <= ran);
        }
    }
}
