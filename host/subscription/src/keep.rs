//! How long versions of a line are kept after another took over.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is kept of a line besides its live version. Only versions below the live one are ever dropped by this: one above it was rolled
/// back from, and would be built and shown again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keep {
    /// Until an operator says otherwise.
    #[default]
    All,
    /// So many, those that were live last.
    Count(u32),
    /// For so many seconds after they were live, or were given up.
    Seconds(u64),
}

/// A text that is no [`Keep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeep(String);

/// A version that is kept, as far as dropping it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aged {
    pub id: String,
    /// Milliseconds since it was live, or was given up.
    pub age_ms: u64,
}

impl Keep {
    /// Reads `all`, a number of versions (`1`), or a time with its unit (`90s`, `30m`, `12h`, `7d`).
    ///
    /// # Errors
    /// [`BadKeep`] says what is allowed.
    pub fn parse(text: &str) -> Result<Keep, BadKeep> {
        let bad = || BadKeep(text.to_owned());
        if text == "all" {
            return Ok(Keep::All);
        }
        let unit = |factor: u64, digits: &str| {
            let number: u64 = digits.parse().map_err(|_| bad())?;
            number
                .checked_mul(factor)
                .map(Keep::Seconds)
                .ok_or_else(bad)
        };
        match text.split_at_checked(text.len().saturating_sub(1)) {
            Some((digits, "s")) => unit(1, digits),
            Some((digits, "m")) => unit(60, digits),
            Some((digits, "h")) => unit(3_600, digits),
            Some((digits, "d")) => unit(86_400, digits),
            _ => text.parse().map(Keep::Count).map_err(|_| bad()),
        }
    }

    /// Those that are not kept any longer.
    pub fn over(self, mut kept: Vec<Aged>) -> Vec<Aged> {
        kept.sort_by(|one, other| (one.age_ms, &one.id).cmp(&(other.age_ms, &other.id)));
        match self {
            Keep::All => Vec::new(),
            Keep::Count(count) => kept.split_off(kept.len().min(count as usize)),
            Keep::Seconds(seconds) => {
                kept.retain(|one| one.age_ms / 1_000 >= seconds);
                kept
            }
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::All => formatter.write_str("all"),
            Keep::Count(count) => write!(formatter, "{count}"),
            Keep::Seconds(seconds) => write!(formatter, "{seconds}s"),
        }
    }
}

impl fmt::Display for BadKeep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} is neither `all`, nor a number of versions such as `1`, nor a time such as `90s`, `30m`, `12h` or `7d`",
            self.0
        )
    }
}

impl std::error::Error for BadKeep {}

impl std::str::FromStr for Keep {
    type Err = BadKeep;

    fn from_str(text: &str) -> Result<Keep, BadKeep> {
        Keep::parse(text)
    }
}

impl TryFrom<String> for Keep {
    type Error = BadKeep;

    fn try_from(text: String) -> Result<Keep, BadKeep> {
        Keep::parse(&text)
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> String {
        keep.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Aged, Keep};

    #[test]
    fn texts_read_as_they_are_meant() {
        let cases = [
            ("all", Some(Keep::All)),
            ("0", Some(Keep::Count(0))),
            ("2", Some(Keep::Count(2))),
            ("90s", Some(Keep::Seconds(90))),
            ("30m", Some(Keep::Seconds(1_800))),
            ("12h", Some(Keep::Seconds(43_200))),
            ("7d", Some(Keep::Seconds(604_800))),
            ("", None),
            ("d", None),
            ("-1", None),
            ("7 d", None),
            ("ä", None),
            ("99999999999999999999d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Keep::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_was_live_last_is_kept_longest() {
        let kept = || {
            [("a_1", 300_000), ("a_3", 10_001), ("a_2", 100_000)]
                .map(|(id, age_ms)| Aged {
                    id: id.to_owned(),
                    age_ms,
                })
                .to_vec()
        };
        let over = |keep: Keep| -> Vec<String> {
            keep.over(kept()).into_iter().map(|one| one.id).collect()
        };
        assert_eq!(over(Keep::All), [""; 0]);
        assert_eq!(over(Keep::Count(0)), ["a_3", "a_2", "a_1"]);
        assert_eq!(over(Keep::Count(1)), ["a_2", "a_1"]);
        assert_eq!(over(Keep::Count(5)), [""; 0]);
        assert_eq!(over(Keep::Seconds(100)), ["a_2", "a_1"]);
        assert_eq!(over(Keep::Seconds(301)), [""; 0]);
    }
}
