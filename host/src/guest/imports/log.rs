//! `projectionist:log/logger`: bounded lines, without control characters, under the guest's name.

use crate::guest::bindings::projectionist::log::logger::{Host, Level};
use crate::guest::limits::MAX_LOG_BYTES;
use crate::guest::state::State;

impl Host for State {
    async fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        self.count_host_call()?;
        if self.is_reported(level)? {
            return Ok(true);
        }
        Ok(match level {
            Level::Trace => tracing::enabled!(target: "guest", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "guest", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "guest", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "guest", tracing::Level::ERROR),
        })
    }

    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.count_host_call()?;
        let subscription = self.context()?.subscriber_id.clone();
        match self.log_lines_left.checked_sub(1) {
            None => return Ok(()),
            Some(0) => {
                tracing::warn!(target: "guest", %subscription, "the guest logs more than its limit in one batch; the rest is dropped")
            }
            Some(_) => {}
        }
        let fields = fields
            .iter()
            .take(32)
            .map(|(name, value)| format!("{}={}", printable(name), printable(value)))
            .collect::<Vec<_>>()
            .join(" ");
        let message = printable(&message);
        if self.is_reported(level)? {
            let line = format!("{message} {fields}");
            self.said.add(line.trim_end().to_owned());
        }
        match level {
            Level::Trace => tracing::trace!(target: "guest", %subscription, fields, "{message}"),
            Level::Debug => tracing::debug!(target: "guest", %subscription, fields, "{message}"),
            Level::Info => tracing::info!(target: "guest", %subscription, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", %subscription, fields, "{message}"),
            Level::Error => tracing::error!(target: "guest", %subscription, fields, "{message}"),
        }
        self.log_lines_left = self.log_lines_left.saturating_sub(1);
        Ok(())
    }
}

impl State {
    /// Whether the operator reads it in what a guest says that ran once.
    fn is_reported(&self, level: Level) -> wasmtime::Result<bool> {
        let is_news = matches!(level, Level::Info | Level::Warn | Level::Error);
        Ok(is_news && self.context()?.reports)
    }
}

/// One line, without what a terminal would obey.
fn printable(text: &str) -> String {
    let mut end = text.len().min(MAX_LOG_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|character| {
            if character.is_control() {
                '\u{FFFD}'
            } else {
                character
            }
        })
        .collect()
}
