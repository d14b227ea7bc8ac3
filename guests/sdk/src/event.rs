//! What a handler may take from the event in hand.

use crate::extract::{Extract, WithEvent};
use crate::failure::{Failure, Result};
use crate::message::Message;
use crate::parts::Parts;
use crate::time::{Date, Timestamp};
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Deref;

/// The event's data, read as `T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<T>(pub T);

impl<T> Deref for Event<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S: WithEvent, T: DeserializeOwned> Extract<S> for Event<T> {
    const PARTS: Parts = Parts::DATA;

    fn extract(source: &S) -> Result<Self> {
        Ok(Event(source.message().data()?))
    }
}

/// The event's metadata: a JSON object, or what you read it as.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata<T = serde_json::Map<String, serde_json::Value>>(pub T);

impl<T> Deref for Metadata<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S: WithEvent, T: DeserializeOwned> Extract<S> for Metadata<T> {
    const PARTS: Parts = Parts::METADATA;

    fn extract(source: &S) -> Result<Self> {
        Ok(Metadata(source.message().metadata()?))
    }
}

/// The event's stream. It reads as a `&str`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamId(Message);

impl StreamId {
    /// The stream's name.
    pub fn as_str(&self) -> &str {
        self.0.stream()
    }

    /// What follows `prefix`: the entity of a stream such as `application-173688`.
    ///
    /// # Errors
    /// The stream does not begin with `prefix`.
    pub fn after(&self, prefix: &str) -> Result<&str> {
        let stream = self.as_str();
        stream.strip_prefix(prefix).ok_or_else(|| {
            Failure::retry(0, format!("stream `{stream}` does not begin with `{prefix}`; narrow the filter to `{prefix}*`"))
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Deref for StreamId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<S: WithEvent> Extract<S> for StreamId {
    const PARTS: Parts = Parts::STREAM;

    fn extract(source: &S) -> Result<Self> {
        Ok(StreamId(source.message().clone()))
    }
}

impl<S: WithEvent> Extract<S> for Message {
    fn extract(source: &S) -> Result<Self> {
        Ok(source.message().clone())
    }
}

/// The event's place in the global order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl<S: WithEvent> Extract<S> for Position {
    const PARTS: Parts = Parts::NONE;

    fn extract(source: &S) -> Result<Self> {
        Ok(Position(source.message().position()))
    }
}

/// When the log recorded the event. This is a projector's only clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordedAt(Timestamp);

impl RecordedAt {
    pub(crate) fn from_micros(micros: i64) -> RecordedAt {
        RecordedAt(Timestamp::from_micros(micros))
    }

    /// The same as a column's value.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// The day in UTC.
    pub fn date(self) -> Date {
        self.0.date()
    }
}

impl Deref for RecordedAt {
    type Target = Timestamp;

    fn deref(&self) -> &Timestamp {
        &self.0
    }
}

impl<S: WithEvent> Extract<S> for RecordedAt {
    const PARTS: Parts = Parts::RECORDED_AT;

    fn extract(source: &S) -> Result<Self> {
        Ok(source.message().recorded_at())
    }
}
