//! What an operator says about retries: for the host, for a group, for one guest; what he leaves out stays as it is.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;
use crate::{
    Descriptor, RETRY_ATTEMPTS_MAX, RETRY_DELAY_MS_MAX, RETRY_FACTOR_MAX, RETRY_JITTER_PERCENT_MAX,
    RetryPolicy,
};

/// A policy in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetryChange {
    /// Delay before the first retry, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ms: Option<u64>,
    /// What each later delay is multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<u32>,
    /// Retries after the first failure; 0 gives up at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What chance adds to each delay, at most, in percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<u32>,
}

impl RetryChange {
    /// Gives up at the first failure.
    pub const NONE: RetryChange = RetryChange {
        base_ms: None,
        factor: None,
        attempts: Some(0),
        jitter_percent: None,
    };

    /// The policy with this change.
    pub fn onto(self, policy: RetryPolicy) -> RetryPolicy {
        RetryPolicy {
            base_ms: self.base_ms.unwrap_or(policy.base_ms),
            factor: self.factor.unwrap_or(policy.factor),
            attempts: self.attempts.unwrap_or(policy.attempts),
            jitter_percent: self.jitter_percent.unwrap_or(policy.jitter_percent),
        }
    }

    /// This change, and where it says nothing, another.
    pub fn or(self, other: RetryChange) -> RetryChange {
        RetryChange {
            base_ms: self.base_ms.or(other.base_ms),
            factor: self.factor.or(other.factor),
            attempts: self.attempts.or(other.attempts),
            jitter_percent: self.jitter_percent.or(other.jitter_percent),
        }
    }

    /// Holds the numbers against their limits.
    ///
    /// # Errors
    /// The first that is too small or too large.
    pub fn check(&self) -> Result<(), BadRetry> {
        let numbers = [
            ("base", self.base_ms, 0, RETRY_DELAY_MS_MAX),
            (
                "factor",
                self.factor.map(u64::from),
                1,
                RETRY_FACTOR_MAX.into(),
            ),
            (
                "attempts",
                self.attempts.map(u64::from),
                0,
                RETRY_ATTEMPTS_MAX.into(),
            ),
            (
                "jitter",
                self.jitter_percent.map(u64::from),
                0,
                RETRY_JITTER_PERCENT_MAX.into(),
            ),
        ];
        for (name, number, least, most) in numbers {
            if number.is_some_and(|number| !(least..=most).contains(&number)) {
                return Err(BadRetry::OutOfRange { name, least, most });
            }
        }
        Ok(())
    }
}

/// Reads `none`, or some of `base=5s,factor=2,attempts=5,jitter=10%`; times in `ms`, `s`, `m` or `h`.
impl FromStr for RetryChange {
    type Err = BadRetry;

    fn from_str(text: &str) -> Result<RetryChange, BadRetry> {
        if text == "none" {
            return Ok(RetryChange::NONE);
        }
        let mut change = RetryChange::default();
        for part in text.split(',') {
            let bad = || BadRetry::Part {
                part: part.to_owned(),
            };
            let (name, value) = part.trim().split_once('=').ok_or_else(bad)?;
            let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
            match name {
                "base" => change.base_ms = Some(duration_ms(value).ok_or_else(bad)?),
                "factor" => change.factor = Some(number(value)?),
                "attempts" => change.attempts = Some(number(value)?),
                "jitter" => {
                    let percent = value.strip_suffix('%').ok_or_else(bad)?;
                    change.jitter_percent = Some(number(percent)?);
                }
                _ => return Err(bad()),
            }
        }
        change.check().map(|()| change)
    }
}

fn duration_ms(text: &str) -> Option<u64> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// The policies of a host: for all, and what is otherwise for some groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicies {
    pub host: RetryPolicy,
    pub groups: BTreeMap<String, RetryChange>,
}

impl RetryPolicies {
    /// Takes `POLICY` for all or `GROUP:POLICY` for a group; a later word about the same goes before an earlier one.
    ///
    /// # Errors
    /// What cannot be read, or is out of its range.
    pub fn change(&mut self, text: &str) -> Result<(), BadRetry> {
        match text.split_once(':') {
            None => self.host = text.parse::<RetryChange>()?.onto(self.host),
            Some((group, policy)) => {
                let change: RetryChange = policy.parse()?;
                let earlier = self.groups.remove(group).unwrap_or_default();
                self.groups.insert(group.to_owned(), change.or(earlier));
            }
        }
        Ok(())
    }

    /// What goes for a guest: first what the operator set beside its module, then what he set for its group, then the
    /// guest's own wish, then what he set for all.
    pub fn of(
        &self,
        group: &str,
        descriptor: &Descriptor,
        settings: Option<RetryChange>,
    ) -> RetryPolicy {
        let of_group = self.groups.get(group).copied().unwrap_or_default();
        let change = settings.unwrap_or_default().or(of_group);
        change.onto(descriptor.retry(self.host))
    }
}

impl From<RetryPolicy> for RetryPolicies {
    fn from(host: RetryPolicy) -> RetryPolicies {
        RetryPolicies {
            host,
            groups: BTreeMap::new(),
        }
    }
}

/// A policy that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRetry {
    Part {
        part: String,
    },
    OutOfRange {
        name: &'static str,
        least: u64,
        most: u64,
    },
}

impl std::error::Error for BadRetry {}

impl fmt::Display for BadRetry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRetry::Part { part } => write!(
                formatter,
                "{} is no part of a retry policy: write none, or some of base=5s,factor=2,attempts=5,jitter=10%",
                quoted(part)
            ),
            BadRetry::OutOfRange { name, least, most } => {
                let unit = match *name {
                    "base" => " ms",
                    "jitter" => " %",
                    _ => "",
                };
                write!(
                    formatter,
                    "{name} of a retry policy is from {least} to {most}{unit}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RetryChange, RetryPolicies};
    use crate::{Descriptor, Kind, RetryPolicy, SubscriberId};

    #[test]
    fn a_policy_is_read_in_part_or_whole() {
        let read = |text: &str| text.parse::<RetryChange>();
        assert_eq!(read("none"), Ok(RetryChange::NONE));
        let attempts = RetryChange {
            attempts: Some(3),
            ..RetryChange::default()
        };
        assert_eq!(read("attempts=3"), Ok(attempts));
        let all = RetryChange {
            base_ms: Some(120_000),
            factor: Some(1),
            attempts: Some(9),
            jitter_percent: Some(25),
        };
        assert_eq!(read("base=2m, factor=1, attempts=9, jitter=25%"), Ok(all));
        assert_eq!(
            read("base=250ms").map(|change| change.base_ms),
            Ok(Some(250))
        );
    }

    #[test]
    fn says_what_cannot_be_read() {
        let bad = [
            "",
            "never",
            "attempts",
            "attempts=x",
            "base=5",
            "base=5d",
            "jitter=1",
            "base=25h",
            "factor=0",
            "jitter=101%",
        ];
        let messages = bad.map(|text| text.parse::<RetryChange>().expect_err(text).to_string());
        assert_eq!(
            messages[1],
            "`never` is no part of a retry policy: write none, or some of base=5s,factor=2,attempts=5,jitter=10%"
        );
        assert_eq!(
            messages[7],
            "base of a retry policy is from 0 to 86400000 ms"
        );
        assert_eq!(messages[8], "factor of a retry policy is from 1 to 100");
    }

    #[test]
    fn the_nearest_word_goes_first_module_then_group_then_guest_then_host() {
        let id = SubscriberId::parse("accounts_1", Kind::Projector).expect("an id");
        let plain = Descriptor::new(id, Kind::Projector);
        let mut wishing = plain.clone();
        wishing.options = vec![("retry-attempts".to_owned(), "9".to_owned())];
        let mut policies = RetryPolicies::default();
        for text in [
            "base=1s",
            "attempts=2",
            "billing:attempts=7",
            "billing:factor=3",
        ] {
            policies.change(text).expect("good");
        }
        let settings = RetryChange {
            attempts: Some(1),
            ..RetryChange::default()
        };
        let attempts = |group, descriptor: &Descriptor, settings| {
            policies.of(group, descriptor, settings).attempts
        };

        assert_eq!(attempts("projector", &plain, None), 2);
        assert_eq!(attempts("projector", &wishing, None), 9);
        assert_eq!(attempts("billing", &wishing, None), 7);
        assert_eq!(attempts("billing", &wishing, Some(settings)), 1);
        let whole = RetryPolicy {
            base_ms: 1_000,
            factor: 3,
            attempts: 1,
            jitter_percent: 0,
        };
        assert_eq!(policies.of("billing", &wishing, Some(settings)), whole);
    }
}
