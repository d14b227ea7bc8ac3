//! How long to wait before the next attempt, and when to give up.

use serde::{Deserialize, Serialize};

/// Attempts that a policy may ask for.
pub const RETRY_ATTEMPTS_MAX: u32 = 1_000;
/// Factor by which a policy may lengthen its delay.
pub const RETRY_FACTOR_MAX: u32 = 100;
/// The longest delay, in milliseconds: a day. Longer ones are cut to it.
pub const RETRY_DELAY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

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
}

impl Default for RetryPolicy {
    /// 5, 10, 20, 40, 80 seconds: the delays of patchlevel's engine.
    fn default() -> RetryPolicy {
        RetryPolicy {
            base_ms: 5_000,
            factor: 2,
            attempts: 5,
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

    #[test]
    fn gives_up_at_once_without_attempts() {
        assert_eq!(RetryPolicy::none().delay_ms(1), None);
    }

    proptest! {
        #[test]
        fn never_waits_longer_than_a_day_nor_less_than_before(
            base_ms: u64, factor in 1_u32.., attempts: u32, attempt in 1_u32..10_000,
        ) {
            let policy = RetryPolicy { base_ms, factor, attempts };
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
