//! `projectionist:log/logger`: bounded lines, without control characters, under the guest's name.

use crate::guest::allowance::LogLine;
use crate::guest::bindings::projectionist::log::logger::{Host, Level};
use crate::guest::limits::{Exceeded, MAX_LOG_BYTES, MAX_LOG_FIELDS};
use crate::guest::state::State;
use crate::guest::text;

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
        match self.allowance.log_line() {
            LogLine::Kept => {}
            LogLine::FirstDropped => {
                let dropped = Exceeded::new(
                    "log-lines",
                    self.allowance.log_lines_max(),
                    "the guest logs more in one batch",
                );
                tracing::warn!(target: "guest", %subscription, "{dropped}; the rest is dropped");
                return Ok(());
            }
            LogLine::Dropped => return Ok(()),
        }
        let message = text::line(&message, MAX_LOG_BYTES);
        let fields = joined(&fields, MAX_LOG_BYTES.saturating_sub(message.len()));
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

/// `name=value` with spaces between, as far as there is room.
fn joined(fields: &[(String, String)], room_bytes: usize) -> String {
    let mut line = String::new();
    for (name, value) in fields.iter().take(MAX_LOG_FIELDS) {
        let room = room_bytes.saturating_sub(line.len());
        if room == 0 {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&text::line(name, room));
        line.push('=');
        line.push_str(&text::line(value, room));
    }
    text::line(&line, room_bytes)
}
