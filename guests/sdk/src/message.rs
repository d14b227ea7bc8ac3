//! An event as it was delivered, cheap to hand to every handler that asks for it.

pub use crate::bindings::projectionist::events::types::Payload;

use crate::bindings::projectionist::events::types::Event as WireEvent;
use crate::event::RecordedAt;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

/// A whole event. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq)]
pub struct Message(Rc<WireEvent>);

impl Message {
    /// Place in the global order; strictly increasing, holes are normal.
    pub fn position(&self) -> u64 {
        self.0.position
    }

    /// Globally unique, lower-case UUID text.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> &str {
        &self.0.stream
    }

    /// Its number in the stream, from 1.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Its type.
    pub fn event_type(&self) -> &str {
        &self.0.type_
    }

    /// When the log recorded it.
    pub fn recorded_at(&self) -> RecordedAt {
        RecordedAt::from_micros(self.0.recorded_at)
    }

    /// The body as it is stored.
    pub fn payload(&self) -> &Payload {
        &self.0.data
    }

    /// The body read as `T`.
    ///
    /// # Errors
    /// The body is not JSON or does not fit `T`; the error names type, position and the path inside the body.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match &self.0.data {
            Payload::Json(text) => self.decode("data", text),
            Payload::Bytes(bytes) => Err(self.error(
                "data",
                ".",
                format!("it is {} bytes, not JSON", bytes.len()),
            )),
        }
    }

    /// The metadata read as `T`; an empty object when the event has none.
    ///
    /// # Errors
    /// The metadata does not fit `T`.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode("metadata", &self.0.metadata)
    }

    /// The event or command that caused this one.
    pub fn causation_id(&self) -> Option<&str> {
        self.0.causation_id.as_deref()
    }

    /// What all events of one conversation share.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// The tags it was appended with.
    pub fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// Reads fast first, and only at an error once more with the path at hand, which costs on every field.
    fn decode<T: DeserializeOwned>(
        &self,
        part: &'static str,
        text: &str,
    ) -> Result<T, DecodeError> {
        serde_json::from_str(text).map_err(|plain| {
            let reader = &mut serde_json::Deserializer::from_str(text);
            match serde_path_to_error::deserialize::<_, T>(reader) {
                Ok(_) => self.error(part, ".", plain.to_string()),
                Err(traced) => {
                    self.error(part, &traced.path().to_string(), traced.inner().to_string())
                }
            }
        })
    }

    fn error(&self, part: &'static str, path: &str, reason: String) -> DecodeError {
        DecodeError {
            part,
            event_type: self.0.type_.clone(),
            position: self.0.position,
            path: path.to_owned(),
            reason,
        }
    }
}

impl From<WireEvent> for Message {
    fn from(event: WireEvent) -> Message {
        Message(Rc::new(event))
    }
}

/// The data or the metadata of an event did not have the expected shape.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeError {
    part: &'static str,
    event_type: String,
    position: u64,
    path: String,
    reason: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError {
            part,
            event_type,
            position,
            path,
            reason,
        } = self;
        write!(
            out,
            "cannot read the {part} of {event_type} at position {position}, at `{path}`: {reason}"
        )
    }
}

impl Error for DecodeError {}
