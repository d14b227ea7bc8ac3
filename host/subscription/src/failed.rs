//! What follows from a failure: one decision from the attempts so far, the policy, the verdict and the class.

use serde::{Deserialize, Serialize};

use crate::{ErrorClass, Input, RetryPolicy, SERIALIZATION_FAILURES_MAX, Verdict};

/// Delay before the second attempt at something unavailable, in milliseconds; the first comes at once.
const UNAVAILABLE_BASE_MS: u64 = 50;
/// The longest such delay, in milliseconds: a database that comes back waits no longer than this for us.
const UNAVAILABLE_DELAY_MS_MAX: u64 = 5_000;

/// What to write down and do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Failures in a row that count, this one included; what the row keeps as its retry counter.
    pub attempts: u32,
    pub after: After,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// The status stays; try again by [`unavailable_delay_ms`].
    Unchanged,
    /// Error, with a retry due so many milliseconds from now.
    Retry { after_ms: u64 },
    /// Error without a due retry: the policy has no attempt left.
    Exhausted,
    /// Record the event as skipped and commit past it.
    Skip,
    /// Error without a due retry: the guest wants an operator, or trying again cannot help.
    Stop,
}

/// Decides what follows from a failure after `attempts` counted ones at the same event.
///
/// - `unavailable` keeps the counter and the status whatever the verdict: no event is at fault.
/// - `incompatible` stops whatever the verdict: only other code or an operator can help.
/// - A guest's own `retry(ms)` replaces the delay and counts like any other.
pub fn failed(attempts: u32, policy: RetryPolicy, verdict: Verdict, class: ErrorClass) -> Outcome {
    if !class.costs_attempt() {
        return Outcome {
            attempts,
            after: After::Unchanged,
        };
    }
    let attempts = attempts.saturating_add(1);
    let after = match (class, verdict) {
        (ErrorClass::Incompatible, _) | (_, Verdict::Stop) => After::Stop,
        (_, Verdict::Skip) => {
            return Outcome {
                attempts: 0,
                after: After::Skip,
            };
        }
        (_, Verdict::Retry { after_ms }) => match policy.delay_ms(attempts) {
            None => After::Exhausted,
            Some(delay_ms) if after_ms == 0 => After::Retry { after_ms: delay_ms },
            Some(_) => After::Retry { after_ms },
        },
    };
    Outcome { attempts, after }
}

impl Outcome {
    /// What happens to the status, if anything.
    pub fn input(self) -> Option<Input> {
        match self.after {
            After::Retry { .. } | After::Exhausted | After::Stop => Some(Input::Failed),
            After::Unchanged | After::Skip => None,
        }
    }
}

/// The class of a serialization failure or deadlock that is the so-manieth in a row (from 1). A guest that meets one every
/// time has itself to blame.
pub fn conflict_class(in_a_row: u32) -> ErrorClass {
    if in_a_row < SERIALIZATION_FAILURES_MAX {
        ErrorClass::Unavailable
    } else {
        ErrorClass::Sql
    }
}

/// Milliseconds to wait after so many `unavailable` failures in a row (from 1): at once, then with backoff.
pub fn unavailable_delay_ms(in_a_row: u32) -> u64 {
    let Some(doublings) = in_a_row.checked_sub(2) else {
        return 0;
    };
    UNAVAILABLE_BASE_MS
        .saturating_mul(2_u64.saturating_pow(doublings))
        .min(UNAVAILABLE_DELAY_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::{After, Outcome, conflict_class, failed, unavailable_delay_ms};
    use crate::{ErrorClass as C, Input, RetryPolicy, Verdict as V};

    #[test]
    fn decides_by_class_then_verdict_then_policy() {
        let by_policy = V::default();
        let in_7_ms = V::Retry { after_ms: 7 };
        let cases = [
            (
                0,
                by_policy,
                C::GuestFailed,
                1,
                After::Retry { after_ms: 5_000 },
            ),
            (4, by_policy, C::Trap, 5, After::Retry { after_ms: 80_000 }),
            (5, by_policy, C::Trap, 6, After::Exhausted),
            (u32::MAX, by_policy, C::Trap, u32::MAX, After::Exhausted),
            (0, in_7_ms, C::GuestFailed, 1, After::Retry { after_ms: 7 }),
            (5, in_7_ms, C::GuestFailed, 6, After::Exhausted),
            (0, V::Skip, C::GuestFailed, 0, After::Skip),
            (5, V::Skip, C::Sql, 0, After::Skip),
            (0, V::Stop, C::BadEvent, 1, After::Stop),
            (5, V::Stop, C::BadEvent, 6, After::Stop),
            (3, by_policy, C::Unavailable, 3, After::Unchanged),
            (3, V::Skip, C::Unavailable, 3, After::Unchanged),
            (3, V::Stop, C::Unavailable, 3, After::Unchanged),
            (0, by_policy, C::Incompatible, 1, After::Stop),
            (0, V::Skip, C::Incompatible, 1, After::Stop),
        ];
        for (so_far, verdict, class, attempts, after) in cases {
            assert_eq!(
                failed(so_far, RetryPolicy::default(), verdict, class),
                Outcome { attempts, after },
                "{class} after {so_far} attempts with {verdict:?}"
            );
        }
    }

    #[test]
    fn gives_up_at_once_without_a_policy() {
        let outcome = failed(0, RetryPolicy::none(), V::default(), C::Trap);
        assert_eq!(
            outcome,
            Outcome {
                attempts: 1,
                after: After::Exhausted
            }
        );
    }

    #[test]
    fn changes_the_status_only_when_it_stops() {
        let cases = [
            (After::Unchanged, None),
            (After::Skip, None),
            (After::Retry { after_ms: 1 }, Some(Input::Failed)),
            (After::Exhausted, Some(Input::Failed)),
            (After::Stop, Some(Input::Failed)),
        ];
        for (after, input) in cases {
            assert_eq!(Outcome { attempts: 0, after }.input(), input, "{after:?}");
        }
    }

    #[test]
    fn the_tenth_conflict_in_a_row_is_the_guests_own() {
        let classes: Vec<_> = (1..=11).map(conflict_class).collect();
        assert_eq!(classes[..9], [C::Unavailable; 9]);
        assert_eq!(classes[9..], [C::Sql; 2]);
    }

    #[test]
    fn an_unavailable_database_is_tried_at_once_then_with_backoff() {
        let delays: Vec<_> = (0..=10).map(unavailable_delay_ms).collect();
        assert_eq!(
            delays,
            [0, 0, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
        );
        assert_eq!(unavailable_delay_ms(u32::MAX), 5_000);
    }
}
