//! An event as the log has it.

use std::borrow::Cow;

use serde::Deserialize;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Postgres, Row as _, ValueRef as _};
use subscription::{EventPart, EventParts};
use uuid::Uuid;

/// Between the epochs of PostgreSQL (2000) and Unix (1970), in microseconds.
pub(super) const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    pub position: i64,
    pub id: Uuid,
    pub version: i64,
    /// Since 1970, in UTC.
    pub recorded_at_micros: i64,
    pub causation_id: Option<Uuid>,
    pub correlation_id: Option<Uuid>,
    pub tags: Vec<String>,
    pub texts: Texts,
}

/// The texts of an event, in one piece of memory: while history is read they come and go by the million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    joined: Box<str>,
    /// Where stream, type and data end.
    ends: [usize; 3],
}

impl Texts {
    /// `data` and `metadata` are JSON, as it was written.
    pub fn new(stream: &str, event_type: &str, data: &str, metadata: &str) -> Texts {
        let type_ends = stream.len() + event_type.len();
        let data_ends = type_ends + data.len();
        let mut joined = String::with_capacity(data_ends + metadata.len());
        for text in [stream, event_type, data, metadata] {
            joined.push_str(text);
        }
        Texts {
            joined: joined.into_boxed_str(),
            ends: [stream.len(), type_ends, data_ends],
        }
    }
}

impl RecordedEvent {
    pub fn stream(&self) -> &str {
        &self.texts.joined[..self.texts.ends[0]]
    }

    pub fn event_type(&self) -> &str {
        &self.texts.joined[self.texts.ends[0]..self.texts.ends[1]]
    }

    /// JSON, as it was written.
    pub fn data(&self) -> &str {
        &self.texts.joined[self.texts.ends[1]..self.texts.ends[2]]
    }

    /// A JSON object, as it was written.
    pub fn metadata(&self) -> &str {
        &self.texts.joined[self.texts.ends[2]..]
    }

    /// What it weighs in a batch, in bytes.
    pub fn size_bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        self.texts.joined.len() + tags
    }

    /// Reads what `projectionist.say` says. `None` where that is no event.
    pub(super) fn from_said(said: &str) -> Option<RecordedEvent> {
        let said: Said<'_> = serde_json::from_str(said).ok()?;
        Some(RecordedEvent {
            position: said.position,
            id: said.id,
            version: said.version,
            recorded_at_micros: said.recorded_at_micros,
            causation_id: said.causation_id,
            correlation_id: said.correlation_id,
            tags: said.tags,
            texts: Texts::new(&said.stream, &said.event_type, &said.data, &said.metadata),
        })
    }

    /// Reads these parts from the columns of `read_events.sql` and its like, which has no others but position and type.
    pub(super) fn decode(row: &PgRow, parts: EventParts) -> Result<RecordedEvent, sqlx::Error> {
        let mut columns = Columns {
            row,
            parts,
            next: 0,
        };
        let id = columns.part(EventPart::Id)?;
        let stream = columns.part(EventPart::Stream)?;
        let version = columns.part(EventPart::Version)?;
        let recorded_at: i64 = columns.part(EventPart::RecordedAt)?;
        let data = columns.part(EventPart::Data)?;
        let metadata = columns.part(EventPart::Metadata)?;
        let causation_id = columns.part(EventPart::Causation)?;
        let correlation_id = columns.part(EventPart::Causation)?;
        let tags = columns.tags()?;
        Ok(RecordedEvent {
            position: columns.next()?,
            id,
            version,
            recorded_at_micros: recorded_at.saturating_add(POSTGRES_EPOCH_MICROS),
            causation_id,
            correlation_id,
            tags,
            texts: Texts::new(stream, columns.next()?, data, metadata),
        })
    }
}

/// The columns of a row, one after the other. Unchecked, because the driver compares types anew for every value of every row; what comes
/// in another shape is an error all the same.
struct Columns<'a> {
    row: &'a PgRow,
    parts: EventParts,
    next: usize,
}

impl<'a> Columns<'a> {
    fn next<T: sqlx::Decode<'a, Postgres>>(&mut self) -> Result<T, sqlx::Error> {
        let column = self.next;
        self.next += 1;
        self.row.try_get_unchecked(column)
    }

    /// Nothing, where the part is not read.
    fn part<T: sqlx::Decode<'a, Postgres> + Default>(
        &mut self,
        part: EventPart,
    ) -> Result<T, sqlx::Error> {
        match self.parts.has(part) {
            true => self.next(),
            false => Ok(T::default()),
        }
    }

    /// Most events have none, and the driver's way to find that out is long.
    fn tags(&mut self) -> Result<Vec<String>, sqlx::Error> {
        const NO_DIMENSIONS: [u8; 4] = [0; 4];
        if !self.parts.has(EventPart::Tags) {
            return Ok(Vec::new());
        }
        let value = self.row.try_get_raw(self.next)?;
        self.next += 1;
        let has_none = !value.is_null()
            && value.format() == PgValueFormat::Binary
            && value
                .as_bytes()
                .is_ok_and(|bytes| bytes.starts_with(&NO_DIMENSIONS));
        if has_none {
            return Ok(Vec::new());
        }
        <Vec<String> as sqlx::Decode<Postgres>>::decode(value).map_err(|source| {
            sqlx::Error::ColumnDecode {
                index: "tags".to_owned(),
                source,
            }
        })
    }
}

/// An event in a notification: an array, in this order.
#[derive(Deserialize)]
struct Said<'a> {
    position: i64,
    id: Uuid,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    version: i64,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    recorded_at_micros: i64,
    /// JSON in a text, so that it comes out as it was written.
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Cow<'a, str>,
    causation_id: Option<Uuid>,
    correlation_id: Option<Uuid>,
    tags: Vec<String>,
}

#[cfg(test)]
impl RecordedEvent {
    /// One for tests, with nothing but this.
    pub fn bare(position: i64, texts: Texts) -> RecordedEvent {
        RecordedEvent {
            position,
            id: Uuid::nil(),
            version: position,
            recorded_at_micros: 0,
            causation_id: None,
            correlation_id: None,
            tags: Vec::new(),
            texts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_given() {
        for [stream, event_type, data, metadata] in [
            ["s-1", "Happened", r#"{"a":"ä"}"#, "{}"],
            ["ß", "", "", ""],
            ["", "Ü", "1", r#"{"b":2}"#],
        ] {
            let event = RecordedEvent {
                tags: vec!["t:1".to_owned()],
                ..RecordedEvent::bare(1, Texts::new(stream, event_type, data, metadata))
            };
            let found = [
                event.stream(),
                event.event_type(),
                event.data(),
                event.metadata(),
            ];
            assert_eq!(found, [stream, event_type, data, metadata]);
            let bytes: usize = found.iter().map(|text| text.len()).sum();
            assert_eq!(event.size_bytes(), bytes + "t:1".len());
        }
    }
}
