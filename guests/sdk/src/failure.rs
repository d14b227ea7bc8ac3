//! A failure is data: what is to happen to the event, and why.

use crate::bindings::projectionist::guest::types::{Failure as WireFailure, Verdict};
use std::error::Error;
use std::fmt;

/// What a handler returns. `?` turns any error into a [`Failure`].
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why an event could not be handled, and what the host shall do about it.
///
/// It is not an `Error` itself, so that every error can become one by `?`. Such a failure asks for another try by the
/// policy of host and guest, and carries the whole chain of causes in its message.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    verdict: Verdict,
    message: String,
    details: Vec<(String, String)>,
}

impl Failure {
    /// Give the guest this event again after at least `delay_ms` milliseconds; 0 leaves the time to the host's backoff.
    pub fn retry(delay_ms: u32, message: impl Into<String>) -> Failure {
        Failure::new(Verdict::Retry(delay_ms), message)
    }

    /// Record this event as skipped and go on after it. An operator can list and replay what was skipped.
    pub fn skip(message: impl Into<String>) -> Failure {
        Failure::new(Verdict::Skip, message)
    }

    /// Stop this subscription before this event, until an operator acts.
    pub fn stop(message: impl Into<String>) -> Failure {
        Failure::new(Verdict::Stop, message)
    }

    /// Adds a named value, shown beside the message.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl fmt::Display) -> Failure {
        self.details.push((name.into(), value.to_string()));
        self
    }

    /// The message, as the host gets it.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn new(verdict: Verdict, message: impl Into<String>) -> Failure {
        Failure {
            verdict,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        self.verdict
    }

    pub(crate) fn into_wire(self, handled: u32) -> WireFailure {
        WireFailure {
            handled,
            verdict: self.verdict,
            message: self.message,
            details: self.details,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        for (name, value) in &self.details {
            write!(out, ", {name}: {value}")?;
        }
        Ok(())
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Failure::retry(0, message)
    }
}

/// What a handler may return: nothing, or a `Result` whose error becomes a [`Failure`].
pub trait Outcome {
    /// The same as a `Result`.
    fn into_result(self) -> Result;
}

impl Outcome for () {
    fn into_result(self) -> Result {
        Ok(())
    }
}

impl<E: Into<Failure>> Outcome for Result<(), E> {
    fn into_result(self) -> Result {
        self.map_err(Into::into)
    }
}
