//! `NAME.toml` beside `NAME.wasm`: what the operator sets for one guest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use subscription::{RETRY_ATTEMPTS_MAX, RETRY_FACTOR_MAX, RetryPolicy, SwitchWhen};

use super::check::Refusal;
use super::limits::Limits;
use crate::store::{MAX_HANDLE_TIMEOUT_MS, MAX_SETUP_TIMEOUT_MS};

/// Largest settings file, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 64 * 1024;

/// The settings of one guest. All of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Handed to the guest through the config import. Part of a projector's identity.
    pub settings: BTreeMap<String, String>,
    pub limits: Limits,
    pub retry: Option<Retry>,
    pub versions: Versions,
}

/// What becomes of this version, and of those that it takes over from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Versions {
    /// When it goes live: `ready` or `activated`. In place of the host's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchWhen>,
}

/// The retry policy of one guest, in place of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// Delay before the first retry, in milliseconds.
    pub base_ms: u64,
    /// What each later delay is multiplied with.
    pub factor: u32,
    /// Retries after the first failure; 0 gives up at once.
    pub attempts: u32,
}

impl Default for Retry {
    fn default() -> Retry {
        let RetryPolicy {
            base_ms,
            factor,
            attempts,
        } = RetryPolicy::default();
        Retry {
            base_ms,
            factor,
            attempts,
        }
    }
}

impl From<Retry> for RetryPolicy {
    fn from(
        Retry {
            base_ms,
            factor,
            attempts,
        }: Retry,
    ) -> RetryPolicy {
        RetryPolicy {
            base_ms,
            factor,
            attempts,
        }
    }
}

impl Settings {
    /// Reads the text of a settings file; numbers and booleans under `[settings]` become text.
    ///
    /// # Errors
    /// [`Refusal::BadSettings`] names the file, the place and what is allowed there.
    pub fn parse(file: &str, text: &str) -> Result<Settings, Refusal> {
        let bad = |reason: String| Refusal::BadSettings {
            reason: format!("{file} beside the module cannot be used: {reason}"),
        };
        let mut table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        if let Some(toml::Value::Table(settings)) = table.get_mut("settings") {
            for value in settings.iter_mut().map(|(_, value)| value) {
                if matches!(
                    value,
                    toml::Value::Integer(_)
                        | toml::Value::Float(_)
                        | toml::Value::Boolean(_)
                        | toml::Value::Datetime(_)
                ) {
                    *value = toml::Value::String(value.to_string());
                }
            }
        }
        let settings: Settings = table.try_into().map_err(|error: toml::de::Error| {
            bad(format!(
                "{}; it may have [settings] (text for the guest), [limits], [retry] and [versions]",
                error.message()
            ))
        })?;
        if let Some(retry) = settings.retry
            && (retry.attempts > RETRY_ATTEMPTS_MAX
                || retry.factor > RETRY_FACTOR_MAX
                || retry.factor == 0)
        {
            return Err(bad(format!(
                "under [retry], attempts is at most {RETRY_ATTEMPTS_MAX} and factor from 1 to {RETRY_FACTOR_MAX}"
            )));
        }
        let Limits {
            handle_timeout_ms,
            setup_timeout_ms,
            ..
        } = settings.limits;
        let fits = (1..=MAX_HANDLE_TIMEOUT_MS).contains(&handle_timeout_ms)
            && (1..=MAX_SETUP_TIMEOUT_MS).contains(&setup_timeout_ms);
        if !fits {
            return Err(bad(format!(
                "under [limits], handle-timeout-ms is from 1 to {MAX_HANDLE_TIMEOUT_MS} and setup-timeout-ms from 1 to {MAX_SETUP_TIMEOUT_MS}"
            )));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_optional_and_numbers_become_text() {
        assert_eq!(
            Settings::parse("a.toml", "").expect("empty"),
            Settings::default()
        );
        let text = "[settings]\nrate = 1.5\nname = \"x\"\non = true\n[limits]\nmemory-mib = 64\n[retry]\nattempts = 1\n";
        let settings = Settings::parse("a.toml", text).expect("good");
        assert_eq!(settings.settings["rate"], "1.5");
        assert_eq!(settings.settings["on"], "true");
        assert_eq!(
            settings.limits,
            Limits {
                memory_mib: 64,
                ..Limits::default()
            }
        );
        assert_eq!(
            settings.retry,
            Some(Retry {
                attempts: 1,
                ..Retry::default()
            })
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let messages: Vec<String> = [
            "rate = 1",
            "[limits]\nmemory = 1",
            "[retry]\nfactor = 0",
            "[limits]\nhandle-timeout-ms = 50001",
            "[settings]\na = [1]",
            "[settings",
        ]
        .iter()
        .map(|text| {
            Settings::parse("accounts.toml", text)
                .expect_err(text)
                .to_string()
        })
        .collect();
        insta::assert_snapshot!(messages.join("\n"));
    }
}
