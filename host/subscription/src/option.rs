//! The open list of a guest's wishes: the keys that are known and what their values may be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;
use crate::{
    EventPart, EventParts, Keep, RETRY_ATTEMPTS_MAX, RETRY_DELAY_MS_MAX, RETRY_FACTOR_MAX,
    RetryPolicy, SwitchWhen,
};

/// Options in a descriptor.
pub const OPTIONS_MAX: usize = 64;
/// Bytes of a key and its value together.
pub const OPTION_BYTES_MAX: usize = 4_096;

const RETRY_ATTEMPTS: &str = "retry-attempts";
const RETRY_BASE_MS: &str = "retry-base-ms";
const RETRY_FACTOR: &str = "retry-factor";
const REBUILD_STATE: &str = "rebuild-state";
const SWITCH: &str = "switch";
/// What the guest looks at of its events.
const EVENT_PARTS: &str = "event-parts";
/// The shape of the guest's tables, in words of the SDK's own: `account(id text key, balance bigint)`.
pub(crate) const TABLES: &str = "tables";
const KEEP: &str = "keep";

/// The keys that the host knows. Others are reported and have no effect: a newer guest may run on an older host.
pub const KNOWN_OPTIONS: [&str; 10] = [
    RETRY_ATTEMPTS,
    RETRY_BASE_MS,
    RETRY_FACTOR,
    "timeout-ms",
    "memory-mib",
    REBUILD_STATE,
    SWITCH,
    TABLES,
    KEEP,
    EVENT_PARTS,
];

/// An option that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadOption {
    TooMany {
        found: usize,
    },
    TooLong {
        key: String,
    },
    /// An empty key, or a control character in key or value.
    Unprintable {
        key: String,
    },
    Twice {
        key: String,
    },
    Number {
        key: String,
        value: String,
        least: u64,
        most: u64,
    },
    Switch {
        key: String,
        value: String,
    },
    When {
        key: String,
        value: String,
    },
    Keep {
        key: String,
        value: String,
    },
    Part {
        key: String,
        name: String,
    },
}

/// Checks the list as a whole and the value of each key that is known.
pub(crate) fn check_options(options: &[(String, String)]) -> Result<(), BadOption> {
    if options.len() > OPTIONS_MAX {
        return Err(BadOption::TooMany {
            found: options.len(),
        });
    }
    for (index, (key, value)) in options.iter().enumerate() {
        let is_unprintable =
            key.is_empty() || [key, value].iter().any(|t| t.contains(char::is_control));
        let is_repeated = options[..index].iter().any(|(earlier, _)| earlier == key);
        if key.len() + value.len() > OPTION_BYTES_MAX {
            return Err(BadOption::TooLong { key: key.clone() });
        }
        if is_unprintable {
            return Err(BadOption::Unprintable { key: key.clone() });
        }
        if is_repeated {
            return Err(BadOption::Twice { key: key.clone() });
        }
    }
    for key in ["timeout-ms", "memory-mib"] {
        number(options, key, 1, u64::from(u32::MAX))?;
    }
    rebuild_state(options)?;
    switch_when(options)?;
    keep(options)?;
    event_parts(options)?;
    retry_policy(options, RetryPolicy::default()).map(drop)
}

/// The host's policy with what the guest wants otherwise.
pub(crate) fn retry_policy(
    options: &[(String, String)],
    host: RetryPolicy,
) -> Result<RetryPolicy, BadOption> {
    let attempts = number(options, RETRY_ATTEMPTS, 0, u64::from(RETRY_ATTEMPTS_MAX))?;
    let base_ms = number(options, RETRY_BASE_MS, 0, RETRY_DELAY_MS_MAX)?;
    let factor = number(options, RETRY_FACTOR, 1, u64::from(RETRY_FACTOR_MAX))?;
    let narrow = |value: u64| u32::try_from(value).expect("its limit is a u32");
    Ok(RetryPolicy {
        base_ms: base_ms.unwrap_or(host.base_ms),
        factor: factor.map_or(host.factor, narrow),
        attempts: attempts.map_or(host.attempts, narrow),
        jitter_percent: host.jitter_percent,
    })
}

/// Whether a later version of a processor first goes through history, muted.
pub(crate) fn rebuild_state(options: &[(String, String)]) -> Result<bool, BadOption> {
    match value(options, REBUILD_STATE) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(BadOption::Switch {
            key: REBUILD_STATE.to_owned(),
            value: other.to_owned(),
        }),
    }
}

/// When a version that has caught up goes live, if the guest says.
pub(crate) fn switch_when(options: &[(String, String)]) -> Result<Option<SwitchWhen>, BadOption> {
    match value(options, SWITCH) {
        None => Ok(None),
        Some("ready") => Ok(Some(SwitchWhen::Ready)),
        Some("activated") => Ok(Some(SwitchWhen::Activated)),
        Some(other) => Err(BadOption::When {
            key: SWITCH.to_owned(),
            value: other.to_owned(),
        }),
    }
}

/// Which versions are kept once this one is live, if the guest says.
pub(crate) fn keep(options: &[(String, String)]) -> Result<Option<Keep>, BadOption> {
    let Some(value) = value(options, KEEP) else {
        return Ok(None);
    };
    Keep::parse(value).map(Some).map_err(|_| BadOption::Keep {
        key: KEEP.to_owned(),
        value: value.to_owned(),
    })
}

/// What the guest looks at of its events: all, if it does not say.
pub(crate) fn event_parts(options: &[(String, String)]) -> Result<EventParts, BadOption> {
    let Some(value) = value(options, EVENT_PARTS) else {
        return Ok(EventParts::ALL);
    };
    EventParts::parse(value).map_err(|name| BadOption::Part {
        key: EVENT_PARTS.to_owned(),
        name,
    })
}

fn value<'a>(options: &'a [(String, String)], key: &str) -> Option<&'a str> {
    options
        .iter()
        .find(|(found, _)| found == key)
        .map(|(_, value)| value.as_str())
}

fn number(
    options: &[(String, String)],
    key: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, BadOption> {
    let Some(value) = value(options, key) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(BadOption::Number {
            key: key.to_owned(),
            value: value.to_owned(),
            least,
            most,
        }),
    }
}

impl std::error::Error for BadOption {}

impl fmt::Display for BadOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOption::TooMany { found } => {
                write!(
                    formatter,
                    "it has {found} options, at most {OPTIONS_MAX} are allowed: drop some"
                )
            }
            BadOption::TooLong { key } => write!(
                formatter,
                "its option {} is longer than {OPTION_BYTES_MAX} bytes: shorten it, or keep it in the guest's settings",
                quoted(key)
            ),
            BadOption::Unprintable { key } => write!(
                formatter,
                "its option {} has an empty key or a control character: write plain text",
                quoted(key)
            ),
            BadOption::Twice { key } => {
                write!(
                    formatter,
                    "its option {} is given twice: keep one",
                    quoted(key)
                )
            }
            BadOption::Number {
                key,
                value,
                least,
                most,
            } => write!(
                formatter,
                "its option {} is {}: give a whole number from {least} to {most}",
                quoted(key),
                quoted(value)
            ),
            BadOption::Keep { key, value } => write!(
                formatter,
                "its option {} is {}: give `all`, a number of versions, or a time such as `7d`",
                quoted(key),
                quoted(value)
            ),
            BadOption::Part { key, name } => write!(
                formatter,
                "its option {} names {}: the parts are {}",
                quoted(key),
                quoted(name),
                EventPart::ALL.map(EventPart::name).join(", ")
            ),
            BadOption::When { key, value } => write!(
                formatter,
                "its option {} is {}: give `ready` or `activated`",
                quoted(key),
                quoted(value)
            ),
            BadOption::Switch { key, value } => write!(
                formatter,
                "its option {} is {}: give `true` or `false`",
                quoted(key),
                quoted(value)
            ),
        }
    }
}
