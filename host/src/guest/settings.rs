//! `NAME.toml` beside `NAME.wasm`: what the operator sets for one guest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use subscription::{BadRetry, Keep, RetryChange, SwitchWhen};

use super::check::Refusal;
use super::http::HttpSettings;
use super::limits::Limits;
use crate::store::{MAX_HANDLE_TIMEOUT_MS, MAX_SETUP_TIMEOUT_MS, Subscription};

/// Largest settings file, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 64 * 1024;

/// The settings of one guest. All of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Handed to the guest through the config import. Part of a projector's identity.
    pub settings: BTreeMap<String, String>,
    pub limits: Limits,
    /// In place of what goes for its group and for the host.
    pub retry: Option<RetryChange>,
    pub versions: Versions,
    /// Where a processor's requests may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSettings>,
}

/// What becomes of this version, and of those that it takes over from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Versions {
    /// When it goes live: `ready` or `activated`. In place of the host's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchWhen>,
    /// What is kept of earlier versions once this one is live: `all`, a number of versions, or a time such as `7d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// A processor that begins by its own run mode instead of where the version before stops, and so repeats what that one did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeat_effects: bool,
}

impl Settings {
    /// As they are stored with the subscription: [`Settings::parse`] has seen them.
    pub fn of(subscription: &Subscription) -> Settings {
        serde_json::from_value(subscription.settings.clone()).unwrap_or_default()
    }

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
        // `retry = "none"` is the short form, as on the command line.
        if let Some(toml::Value::String(text)) = table.get("retry") {
            let change: RetryChange = text
                .parse()
                .map_err(|error: BadRetry| bad(error.to_string()))?;
            let table_of = toml::Value::try_from(change).expect("numbers by name");
            table.insert("retry".to_owned(), table_of);
        }
        let settings: Settings = table.try_into().map_err(|error: toml::de::Error| {
            bad(format!(
                "{}; it may have [settings] (text for the guest), [limits], [retry], [versions] and, for a processor, [http]",
                error.message()
            ))
        })?;
        if let Some(retry) = settings.retry {
            retry
                .check()
                .map_err(|error| bad(format!("under [retry], {error}")))?;
        }
        if let Some(http) = &settings.http {
            http.check()
                .map_err(|error| bad(format!("under [http], {error}")))?;
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
            Some(RetryChange {
                attempts: Some(1),
                ..RetryChange::default()
            })
        );
    }

    #[test]
    fn a_retry_policy_is_a_table_or_one_line() {
        let table = "[retry]\nbase-ms = 250\njitter-percent = 10\n";
        let retry = |text| Settings::parse("a.toml", text).expect("good").retry;
        assert_eq!(retry(table), retry("retry = \"base=250ms,jitter=10%\"\n"));
        assert_eq!(retry("retry = \"none\"\n"), Some(RetryChange::NONE));
    }

    #[test]
    fn says_what_is_wrong() {
        let messages: Vec<String> = [
            "rate = 1",
            "[limits]\nmemory = 1",
            "[retry]\nfactor = 0",
            "retry = \"often\"",
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
