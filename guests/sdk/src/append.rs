//! Appending events, for processors.

pub use crate::bindings::projectionist::append::writer::ExpectedVersion;

use crate::bindings::projectionist::append::writer::{self, NewEvent};
use crate::bindings::projectionist::events::types::Payload;
use crate::extract::{Extract, Reaction, WithEvent as _};
use crate::failure::Result;
use crate::parts::Parts;
use serde::Serialize;
use std::fmt;

/// Appends events to the log. The event in hand is their cause: the host derives their ids from it, so a redelivery
/// appends nothing twice, and sets causation and correlation.
#[derive(Debug)]
pub struct Append {
    cause: u64,
}

impl Extract<Reaction> for Append {
    const PARTS: Parts = Parts::ID.and(Parts::CAUSATION);

    fn extract(source: &Reaction) -> Result<Self> {
        Ok(Append {
            cause: source.message().position(),
        })
    }
}

impl Append {
    /// Begins an append to `stream`, at any version of it. Nothing happens before [`send`](Appending::send).
    pub fn to(&self, stream: impl Into<String>) -> Appending {
        Appending {
            cause: self.cause,
            stream: stream.into(),
            expected: ExpectedVersion::Any,
            events: Vec::new(),
            broken: None,
        }
    }
}

/// Events on their way to one stream.
#[derive(Debug)]
#[must_use = "nothing is appended before send()"]
pub struct Appending {
    cause: u64,
    stream: String,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
    broken: Option<serde_json::Error>,
}

impl Appending {
    /// The stream must have this version, or must not exist yet. Else the batch rolls back and the event comes again.
    pub fn expect(mut self, expected: ExpectedVersion) -> Self {
        self.expected = expected;
        self
    }

    /// Adds an event.
    pub fn event<T: Serialize>(mut self, event_type: impl Into<String>, data: &T) -> Self {
        let data = Payload::Json(self.text(data));
        self.events.push(NewEvent {
            type_: event_type.into(),
            data,
            metadata: "{}".to_owned(),
            tags: Vec::new(),
        });
        self
    }

    /// Gives the event added last its metadata, which must become a JSON object.
    pub fn metadata<T: Serialize>(mut self, metadata: &T) -> Self {
        let text = self.text(metadata);
        if let Some(event) = self.events.last_mut() {
            event.metadata = text;
        }
        self
    }

    /// Tags the event added last.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        if let Some(event) = self.events.last_mut() {
            event.tags.push(tag.into());
        }
        self
    }

    /// Hands the events to the host, which writes them last, before the batch commits.
    ///
    /// # Errors
    /// Data cannot be written as JSON, or the host refuses the events.
    pub fn send(self) -> Result {
        match self.broken {
            Some(error) => Err(error.into()),
            None => Ok(
                writer::append(self.cause, &self.stream, self.expected, &self.events)
                    .map_err(AppendError)?,
            ),
        }
    }

    fn text<T: Serialize>(&mut self, data: &T) -> String {
        serde_json::to_string(data).unwrap_or_else(|error| {
            self.broken.get_or_insert(error);
            String::new()
        })
    }
}

#[derive(Debug)]
struct AppendError(writer::Error);

impl fmt::Display for AppendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot append: {}: {}", self.0.kind, self.0.message)?;
        for (name, value) in &self.0.extras {
            write!(out, ", {name}: {value}")?;
        }
        Ok(())
    }
}

impl std::error::Error for AppendError {}
