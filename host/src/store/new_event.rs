//! An event on its way into the log, and the line of JSON that people and files write it as.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Longest stream name, in bytes.
pub const MAX_STREAM_BYTES: usize = 512;
/// Longest event type, in bytes.
pub const MAX_TYPE_BYTES: usize = 255;
/// Largest data of one event, in bytes of its JSON text.
pub const MAX_DATA_BYTES: usize = 8 * 1024 * 1024;
/// Largest metadata of one event, in bytes of its JSON text.
pub const MAX_METADATA_BYTES: usize = 1024 * 1024;
/// All tags of one event together, in bytes.
pub const MAX_TAGS_BYTES: usize = 2048;
/// Longest line that can hold one event, in bytes.
pub const MAX_LINE_BYTES: usize = MAX_DATA_BYTES + MAX_METADATA_BYTES + 64 * 1024;

/// An event that is not in the log yet. Serializes as `projectionist.append` takes it.
#[derive(Clone, Debug, Serialize)]
pub struct NewEvent {
    /// Appending an id that the stream already has changes nothing. Without one the database makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(rename = "type")]
    pub event_type: String,
    pub data: Box<RawValue>,
    pub metadata: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub recorded_at: Option<OffsetDateTime>,
}

/// One line of JSON: an event, and the stream that it belongs to if the line says so.
#[derive(Clone, Debug)]
pub struct EventLine {
    pub stream: Option<String>,
    pub event: NewEvent,
}

/// Why a line is not an event, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(pub String);

impl NewEvent {
    /// An event of that type with empty data, to be filled by the caller.
    pub fn new(event_type: impl Into<String>) -> NewEvent {
        NewEvent {
            id: None,
            event_type: event_type.into(),
            data: empty_object(),
            metadata: empty_object(),
            causation_id: None,
            correlation_id: None,
            tags: Vec::new(),
            recorded_at: None,
        }
    }

    /// The rules that the database would refuse it by.
    pub fn check(&self) -> Result<(), BadLine> {
        within("type", self.event_type.len(), MAX_TYPE_BYTES)?;
        within("data", self.data.get().len(), MAX_DATA_BYTES)?;
        within("metadata", self.metadata.get().len(), MAX_METADATA_BYTES)?;
        within(
            "tags",
            self.tags.iter().map(String::len).sum(),
            MAX_TAGS_BYTES,
        )?;
        if self.event_type.is_empty() {
            return bad("type is empty");
        }
        if self.tags.iter().any(String::is_empty) {
            return bad("tags holds an empty text");
        }
        if !self.metadata.get().starts_with('{') {
            return bad("metadata is not an object");
        }
        let texts = self.tags.iter().chain([&self.event_type]);
        if texts.into_iter().any(|text| text.contains('\0'))
            || [&self.data, &self.metadata]
                .iter()
                .any(|json| names_nul(json.get()))
        {
            return bad(
                "it contains the character \\u0000, which PostgreSQL cannot hold in a text",
            );
        }
        Ok(())
    }
}

impl EventLine {
    /// Reads and checks one line.
    pub fn parse(line: &str) -> Result<EventLine, BadLine> {
        if !line.trim_start().starts_with('{') {
            return bad("it is not a JSON object");
        }
        let fields: Fields = serde_json::from_str(line).map_err(describe)?;
        if let Some(stream) = &fields.stream {
            check_stream(stream)?;
        }
        let recorded_at = match &fields.recorded_at {
            None => None,
            Some(text) => Some(OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
                BadLine(format!(
                    "recorded_at is not a timestamp with a zone, such as 2011-09-30T22:38:44.546Z: {text:?}"
                ))
            })?),
        };
        let metadata = match fields.metadata {
            Some(metadata) if metadata.get() != "null" => metadata.to_owned(),
            _ => empty_object(),
        };
        let event = NewEvent {
            id: uuid("id", fields.id)?,
            event_type: fields.event_type.into_owned(),
            data: fields.data.map_or_else(empty_object, RawValue::to_owned),
            metadata,
            causation_id: uuid("causation_id", fields.causation_id)?,
            correlation_id: uuid("correlation_id", fields.correlation_id)?,
            tags: fields.tags.unwrap_or_default(),
            recorded_at,
        };
        event.check()?;
        Ok(EventLine {
            stream: fields.stream.map(Cow::into_owned),
            event,
        })
    }
}

/// The rules for names of streams.
pub fn check_stream(stream: &str) -> Result<(), BadLine> {
    within("stream", stream.len(), MAX_STREAM_BYTES)?;
    if stream.is_empty() {
        return bad("stream is empty");
    }
    if stream.contains('*') {
        return bad("stream contains *, which in filters stands for any ending");
    }
    if stream.contains('\0') {
        return bad(
            "stream contains the character \\u0000, which PostgreSQL cannot hold in a text",
        );
    }
    Ok(())
}

/// What a line may hold. `position` and `version` are what `projectionist events --json` prints beside the event; they are
/// given anew, so that the output of one log is the input of another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    /// A present `null` is data, so it must not become `None`.
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    causation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    correlation_id: Option<Cow<'a, str>>,
    tags: Option<Vec<String>>,
    #[serde(borrow)]
    recorded_at: Option<Cow<'a, str>>,
    #[serde(default, rename = "position")]
    _position: IgnoredAny,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn uuid(field: &str, text: Option<Cow<str>>) -> Result<Option<Uuid>, BadLine> {
    let Some(text) = text else { return Ok(None) };
    Uuid::parse_str(&text)
        .map(Some)
        .map_err(|_| BadLine(format!("{field} is not a UUID: {text:?}")))
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("{} is JSON")
}

fn bad<T>(reason: &str) -> Result<T, BadLine> {
    Err(BadLine(reason.to_owned()))
}

fn within(what: &str, size_bytes: usize, limit_bytes: usize) -> Result<(), BadLine> {
    if size_bytes <= limit_bytes {
        return Ok(());
    }
    Err(BadLine(format!(
        "{what} is {size_bytes} bytes long; the limit is {limit_bytes}"
    )))
}

/// The parser counts lines within the one line that it sees, which would mislead: only the column is told.
fn describe(error: serde_json::Error) -> BadLine {
    let text = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&suffix) {
        Some(reason) => BadLine(format!("{reason} (column {})", error.column())),
        None => BadLine(text),
    }
}

/// Whether JSON text holds an escaped NUL: `\u0000` after an even number of backslashes.
fn names_nul(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = json.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_data_as_it_was_written() {
        let line =
            EventLine::parse(r#"{"type": "A", "stream": "s", "data": { "b":1.50,  "a":[ ] }}"#)
                .expect("an event");
        assert_eq!(line.event.data.get(), r#"{ "b":1.50,  "a":[ ] }"#);
    }

    #[test]
    fn a_null_is_data_but_no_metadata() {
        let line =
            EventLine::parse(r#"{"type": "A", "data": null, "metadata": null}"#).expect("an event");
        assert_eq!(line.event.data.get(), "null");
        assert_eq!(line.event.metadata.get(), "{}");
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        let reasons: Vec<String> = [
            "",
            "[]",
            "{\"type\": \"A\"",
            "{}",
            r#"{"type": ""}"#,
            r#"{"type": 7}"#,
            r#"{"type": "A", "stream": ""}"#,
            r#"{"type": "A", "stream": "all-*"}"#,
            r#"{"type": "A", "typ": "B"}"#,
            r#"{"type": "A", "id": "17"}"#,
            r#"{"type": "A", "metadata": 3}"#,
            r#"{"type": "A", "tags": [""]}"#,
            r#"{"type": "A", "recorded_at": "yesterday"}"#,
            r#"{"type": "A", "data": "\u0000"}"#,
            r#"{"type": "A"} {}"#,
        ]
        .iter()
        .map(|line| {
            format!(
                "{line}\n  {}",
                EventLine::parse(line).expect_err("a bad line")
            )
        })
        .collect();
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        assert!(EventLine::parse(r#"{"type": "A", "data": "\\u0000"}"#).is_ok());
    }
}
