//! How long to wait before the next attempt, and when to give up.

use serde::{Deserialize, Serialize};

/// Attempts that a policy may ask for.
pub const RETRY_ATTEMPTS_MAX: u32 = 1_000;
/// Factor by which a policy may lengthen its delay.
pub const RETRY_FACTOR_MAX: u32 = 100;
/// The longest delay, in milliseconds: a day. Longer ones are cut to it.
pub const RETRY_DELAY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// The most that chance may add to a delay, in percent of it.
pub const RETRY_JITTER_PERCENT_MAX: u32 = 100;

/// Retries after a first failure, each `factor` times later than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Delay before the first retry, in milliseconds.
    pub base_ms: u64,
    /// What each later delay is multiplied with.
    pub factor: u32,
    /// Retries after the first failure; 0 gives up at once.
    pub attempts: u32,
    /// What chance adds to each delay, at most, in percent of it: those that failed together do not come back together.
    #[serde(default)]
    pub jitter_percent: u32,
}

impl Default for RetryPolicy {
    /// 5, 10, 20, 40, 80 seconds: the delays of patchlevel's engine.
    fn default() -> RetryPolicy {
        RetryPolicy {
            base_ms: 5_000,
            factor: 2,
            attempts: 5,
            jitter_percent: 0,
        }
    }
}

impl RetryPolicy {
    /// Gives up at the first failure.
    pub const fn none() -> RetryPolicy {
        RetryPolicy {
            base_ms: 0,
            factor: 1,
            attempts: 0,
            jitter_percent: 0,
        }
    }

    /// Milliseconds to wait after so many failures in a row (from 1), at most [`RETRY_DELAY_MS_MAX`]; `None`
    /// when it gives up. Before any failure (0) there is nothing to wait for.
    pub fn delay_ms(&self, attempt: u32) -> Option<u64> {
        if attempt > self.attempts {
            return None;
        }
        let Some(earlier_retries) = attempt.checked_sub(1) else {
            return Some(0);
        };
        let factor = u64::from(self.factor).saturating_pow(earlier_retries);
        Some(self.base_ms.saturating_mul(factor).min(RETRY_DELAY_MS_MAX))
    }

    /// The delay with its jitter. `chance` is any number, each as likely as the others; it never makes a delay shorter.
    pub fn jittered_ms(&self, delay_ms: u64, chance: u32) -> u64 {
        let most = u128::from(delay_ms) * u128::from(self.jitter_percent) / 100;
        let added = most * u128::from(chance) / u128::from(u32::MAX);
        let added = u64::try_from(added).unwrap_or(u64::MAX);
        delay_ms
            .saturating_add(added)
            .min(RETRY_DELAY_MS_MAX.max(delay_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RETRY_DELAY_MS_MAX, RetryPolicy};

    #[test]
    fn waits_5_10_20_40_80_seconds_and_gives_up() {
        let policy = RetryPolicy::default();
        let delays: Vec<_> = (0..=7).map(|attempt| policy.delay_ms(attempt)).collect();
        let seconds = |s: u64| Some(s * 1_000);
        assert_eq!(
            delays,
            [
                seconds(0),
                seconds(5),
                seconds(10),
                seconds(20),
                seconds(40),
                seconds(80),
                None,
                None
            ]
        );
    }

    /// Case 52 of the list of behaviours: attempts so far, seconds since the failure, whether it is tried again then.
    #[test]
    fn tries_again_when_the_delay_of_the_attempt_is_over_and_never_after_the_last() {
        let policy = RetryPolicy::default();
        let table = [
            (0, 0, false),
            (0, 5, true),
            (1, 5, false),
            (1, 10, true),
            (2, 10, false),
            (2, 20, true),
            (3, 20, false),
            (3, 40, true),
            (4, 40, false),
            (4, 80, true),
            (5, 80, false),
            (5, 160, false),
            (5, 320, false),
        ];
        for (retries, seconds, expected) in table {
            // They count retries from 0; here the failure that precedes a retry counts as well.
            let delay_ms = policy.delay_ms(retries + 1);
            let tried = delay_ms.is_some_and(|delay_ms| seconds * 1_000 >= delay_ms);
            assert_eq!(tried, expected, "({retries}, {seconds})");
        }
    }

    #[test]
    fn chance_adds_up_to_the_jitter_and_nothing_without() {
        let policy = RetryPolicy {
            jitter_percent: 20,
            ..RetryPolicy::default()
        };
        let chances = [0, u32::MAX / 2, u32::MAX];
        let jittered = chances.map(|chance| policy.jittered_ms(10_000, chance));
        assert_eq!(jittered, [10_000, 10_999, 12_000]);
        assert_eq!(RetryPolicy::default().jittered_ms(10_000, u32::MAX), 10_000);
        assert_eq!(
            policy.jittered_ms(RETRY_DELAY_MS_MAX, u32::MAX),
            RETRY_DELAY_MS_MAX
        );
    }

    #[test]
    fn gives_up_at_once_without_attempts() {
        assert_eq!(RetryPolicy::none().delay_ms(1), None);
    }

    proptest! {
        #[test]
        fn never_waits_longer_than_a_day_nor_less_than_before(
            base_ms: u64, factor in 1_u32.., attempts: u32, attempt in 1_u32..10_000,
        ) {
            let policy = RetryPolicy { base_ms, factor, attempts, jitter_percent: 0 };
            match (policy.delay_ms(attempt), policy.delay_ms(attempt + 1)) {
                (Some(this), Some(next)) => prop_assert!(this <= next && next <= RETRY_DELAY_MS_MAX),
                (Some(_), None) => prop_assert_eq!(attempt, attempts),
                (None, next) => {
                    prop_assert!(attempt > attempts);
                    prop_assert_eq!(next, None);
                }
            }
        }
    }
}
