//! An event as it was delivered, cheap to hand to every handler that asks for it.

pub use crate::bindings::projectionist::events::types::Payload;

use crate::bindings::projectionist::events::types::{
    Chunk as WireChunk, Event as WireEvent, Texts,
};
use crate::event::RecordedAt;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

/// A whole event. Cloning it is cheap.
#[derive(Clone)]
pub struct Message {
    /// Those that came together. Parts that no handler looks at have no entries.
    events: Rc<Events>,
    index: usize,
}

struct Events {
    chunk: WireChunk,
    /// The body in place of JSON, of one that came alone.
    bytes: Option<Vec<u8>>,
}

/// The body of an event, a [`Payload`] that lies in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRef<'a> {
    /// The text exactly as stored.
    Json(&'a str),
    /// A body that is not JSON.
    Bytes(&'a [u8]),
}

/// Everything about an event, to compare and to show.
type Parts<'a> = (
    u64,
    &'a str,
    &'a str,
    u64,
    &'a str,
    RecordedAt,
    PayloadRef<'a>,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    &'a [String],
);

impl Message {
    /// Every event of a chunk.
    pub(crate) fn all_of(chunk: WireChunk) -> impl Iterator<Item = Message> {
        let count = chunk.positions.len();
        let events = Rc::new(Events { chunk, bytes: None });
        (0..count).map(move |index| Message {
            events: events.clone(),
            index,
        })
    }

    /// Place in the global order; strictly increasing, holes are normal.
    pub fn position(&self) -> u64 {
        self.number(&self.chunk().positions)
    }

    /// Globally unique, lower-case UUID text.
    pub fn id(&self) -> &str {
        self.text(&self.chunk().ids)
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> &str {
        self.text(&self.chunk().streams)
    }

    /// Its number in the stream, from 1.
    pub fn version(&self) -> u64 {
        self.number(&self.chunk().versions)
    }

    /// Its type.
    pub fn event_type(&self) -> &str {
        self.text(&self.chunk().types)
    }

    /// When the log recorded it.
    pub fn recorded_at(&self) -> RecordedAt {
        RecordedAt::from_micros(self.number(&self.chunk().recorded_at))
    }

    /// The body as it is stored.
    pub fn payload(&self) -> PayloadRef<'_> {
        match &self.events.bytes {
            Some(bytes) => PayloadRef::Bytes(bytes),
            None => PayloadRef::Json(self.text(&self.chunk().data)),
        }
    }

    /// The body read as `T`.
    ///
    /// # Errors
    /// The body is not JSON or does not fit `T`; the error names type, position and the path inside the body.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.payload() {
            PayloadRef::Json(text) => self.decode("data", text),
            PayloadRef::Bytes(bytes) => Err(self.error(
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
        self.decode("metadata", self.metadata_text())
    }

    /// The event or command that caused this one.
    pub fn causation_id(&self) -> Option<&str> {
        Some(self.text(&self.chunk().causation_ids)).filter(|id| !id.is_empty())
    }

    /// What all events of one conversation share.
    pub fn correlation_id(&self) -> Option<&str> {
        Some(self.text(&self.chunk().correlation_ids)).filter(|id| !id.is_empty())
    }

    /// The tags it was appended with.
    pub fn tags(&self) -> &[String] {
        self.chunk().tags.get(self.index).map_or(&[], Vec::as_slice)
    }

    fn metadata_text(&self) -> &str {
        self.text(&self.chunk().metadata)
    }

    fn chunk(&self) -> &WireChunk {
        &self.events.chunk
    }

    fn number<N: Copy + Default>(&self, numbers: &[N]) -> N {
        numbers.get(self.index).copied().unwrap_or_default()
    }

    fn text<'a>(&self, texts: &'a Texts) -> &'a str {
        let Some(end) = texts.ends.get(self.index) else {
            return "";
        };
        let begin = match self.index {
            0 => 0,
            index => texts.ends[index - 1],
        };
        &texts.text[begin as usize..*end as usize]
    }

    fn parts(&self) -> Parts<'_> {
        (
            self.position(),
            self.id(),
            self.stream(),
            self.version(),
            self.event_type(),
            self.recorded_at(),
            self.payload(),
            self.metadata_text(),
            self.causation_id(),
            self.correlation_id(),
            self.tags(),
        )
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
            event_type: self.event_type().to_owned(),
            position: self.position(),
            path: path.to_owned(),
            reason,
        }
    }
}

/// One that comes alone.
impl From<WireEvent> for Message {
    fn from(event: WireEvent) -> Message {
        let (data, bytes) = match event.data {
            Payload::Json(text) => (text, None),
            Payload::Bytes(bytes) => (String::new(), Some(bytes)),
        };
        let chunk = WireChunk {
            positions: vec![event.position],
            types: alone(event.type_),
            ids: alone(event.id),
            streams: alone(event.stream),
            versions: vec![event.version],
            recorded_at: vec![event.recorded_at],
            data: alone(data),
            metadata: alone(event.metadata),
            causation_ids: alone(event.causation_id.unwrap_or_default()),
            correlation_ids: alone(event.correlation_id.unwrap_or_default()),
            tags: vec![event.tags],
        };
        Message {
            events: Rc::new(Events { chunk, bytes }),
            index: 0,
        }
    }
}

fn alone(text: String) -> Texts {
    Texts {
        ends: vec![u32::try_from(text.len()).expect("a text of a guest is shorter than 4 GiB")],
        text,
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.parts() == other.parts()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Message").field(&self.parts()).finish()
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
