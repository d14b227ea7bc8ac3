//! What becomes of an event at which `handle` broke down, decided by the guest in a fresh instance.

pub use crate::bindings::projectionist::guest::types::Verdict;

use crate::extract::{Extract, WithEvent};
use crate::failure::{Failure, Result};
use crate::message::Message;

/// An event at which `handle` broke down. There is no batch any more: its writes are rolled back, and nothing can be
/// written here.
#[derive(Debug)]
pub struct Recovery {
    message: Message,
    attempt: FailedAttempt,
}

/// The attempt that broke down: it trapped, used up its time or memory, or wrote what the database refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    number: u32,
    error: String,
}

impl FailedAttempt {
    /// 1 for the first delivery of this event.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the host says about it, as an operator reads it.
    pub fn error(&self) -> &str {
        &self.error
    }
}

impl Recovery {
    pub(crate) fn new(message: Message, error: String, number: u32) -> Recovery {
        Recovery {
            message,
            attempt: FailedAttempt { number, error },
        }
    }
}

impl WithEvent for Recovery {
    fn message(&self) -> &Message {
        &self.message
    }
}

impl Extract<Recovery> for FailedAttempt {
    fn extract(source: &Recovery) -> Result<Self> {
        Ok(source.attempt.clone())
    }
}

/// An argument that cannot be had is no reason to lose an event: what the failure asks for goes.
pub(crate) fn verdict(answer: Result<Verdict>) -> Verdict {
    answer.unwrap_or_else(Failure::into_verdict)
}
