//! A chunk of events on its way into a guest: their texts are written into its memory from where they are.

use subscription::{EventPart, EventParts};
use uuid::Uuid;
use uuid::fmt::Hyphenated;
use wasmtime::component::{ComponentType, Lower};

use crate::store::RecordedEvent;

type IdText = [u8; Hyphenated::LENGTH];

/// The record `event` of `projectionist:events/types`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub struct Event<'a> {
    position: u64,
    id: &'a str,
    stream: &'a str,
    version: u64,
    #[component(name = "type")]
    event_type: &'a str,
    #[component(name = "recorded-at")]
    recorded_at: i64,
    data: Payload<'a>,
    metadata: &'a str,
    #[component(name = "causation-id")]
    causation_id: Option<&'a str>,
    #[component(name = "correlation-id")]
    correlation_id: Option<&'a str>,
    tags: &'a [String],
}

/// The variant `payload`.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub enum Payload<'a> {
    #[component(name = "json")]
    Json(&'a str),
    #[component(name = "bytes")]
    #[expect(dead_code, reason = "the log holds JSON alone")]
    Bytes(&'a [u8]),
}

/// The ids of one event, to be written as text.
pub struct Ids {
    event: Option<IdText>,
    causation: Option<IdText>,
    correlation: Option<IdText>,
}

impl Ids {
    /// Those of a chunk that the guest looks at, in its order: the texts have to lie somewhere until the guest has them.
    pub fn of(events: &[RecordedEvent], parts: EventParts) -> Vec<Ids> {
        let (own, causes) = (parts.has(EventPart::Id), parts.has(EventPart::Causation));
        let cause = |id: Option<Uuid>| id.filter(|_| causes).map(text_of);
        let ids = events.iter().map(|event| Ids {
            event: own.then(|| text_of(event.id)),
            causation: cause(event.causation_id),
            correlation: cause(event.correlation_id),
        });
        ids.collect()
    }
}

fn text_of(id: Uuid) -> IdText {
    let mut text = [0; Hyphenated::LENGTH];
    id.hyphenated().encode_lower(&mut text);
    text
}

/// The events as the guest gets them. What it does not look at is empty, wherever the events come from.
pub fn hand<'a>(events: &'a [RecordedEvent], ids: &'a [Ids], parts: EventParts) -> Vec<Event<'a>> {
    let text = |part, text: &'a str| if parts.has(part) { text } else { "" };
    let events = events.iter().zip(ids);
    let events = events.map(|(event, ids)| Event {
        position: event.position.unsigned_abs(),
        id: ids.event.as_ref().map_or("", read),
        stream: text(EventPart::Stream, event.stream()),
        version: match parts.has(EventPart::Version) {
            true => event.version.unsigned_abs(),
            false => 0,
        },
        event_type: event.event_type(),
        recorded_at: match parts.has(EventPart::RecordedAt) {
            true => event.recorded_at_micros,
            false => 0,
        },
        data: Payload::Json(text(EventPart::Data, event.data())),
        metadata: text(EventPart::Metadata, event.metadata()),
        causation_id: ids.causation.as_ref().map(read),
        correlation_id: ids.correlation.as_ref().map(read),
        tags: match parts.has(EventPart::Tags) {
            true => &event.tags,
            false => &[],
        },
    });
    events.collect()
}

fn read(id: &IdText) -> &str {
    str::from_utf8(id).expect("an id is written in ASCII")
}
