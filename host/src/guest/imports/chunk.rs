//! A chunk of events part by part, for guests that take it so: a few pieces of memory, however many events there are.

use subscription::{EventPart, EventParts};
use uuid::Uuid;
use uuid::fmt::Hyphenated;
use wasmtime::component::{ComponentType, Lower};

use crate::store::RecordedEvent;

/// The record `chunk` of `projectionist:events/types`.
#[derive(ComponentType, Lower, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Chunk {
    positions: Vec<u64>,
    types: Texts,
    ids: Texts,
    streams: Texts,
    versions: Vec<u64>,
    #[component(name = "recorded-at")]
    recorded_at: Vec<i64>,
    data: Texts,
    metadata: Texts,
    #[component(name = "causation-ids")]
    causation_ids: Texts,
    #[component(name = "correlation-ids")]
    correlation_ids: Texts,
    tags: Vec<Vec<String>>,
}

/// The record `texts`.
#[derive(ComponentType, Lower, Debug, Default, PartialEq, Eq)]
#[component(record)]
pub struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Chunk {
    /// Position and type of these events, and those parts that the guest looks at. The others stay empty.
    pub fn of(events: &[RecordedEvent], parts: EventParts) -> Chunk {
        let of = |part| if parts.has(part) { events } else { &[] };
        let causes = of(EventPart::Causation);
        Chunk {
            positions: numbers(events, |event| event.position.unsigned_abs()),
            types: Texts::of(events, RecordedEvent::event_type),
            ids: Texts::of_ids(of(EventPart::Id), |event| Some(event.id)),
            streams: Texts::of(of(EventPart::Stream), RecordedEvent::stream),
            versions: numbers(of(EventPart::Version), |event| event.version.unsigned_abs()),
            recorded_at: numbers(of(EventPart::RecordedAt), |event| event.recorded_at_micros),
            data: Texts::of(of(EventPart::Data), RecordedEvent::data),
            metadata: Texts::of(of(EventPart::Metadata), RecordedEvent::metadata),
            causation_ids: Texts::of_ids(causes, |event| event.causation_id),
            correlation_ids: Texts::of_ids(causes, |event| event.correlation_id),
            tags: of(EventPart::Tags)
                .iter()
                .map(|event| event.tags.clone())
                .collect(),
        }
    }
}

impl Texts {
    fn of(events: &[RecordedEvent], text_of: fn(&RecordedEvent) -> &str) -> Texts {
        let bytes = events.iter().map(|event| text_of(event).len()).sum();
        let mut texts = Texts::with_room(bytes, events.len());
        for event in events {
            texts.push(text_of(event));
        }
        texts
    }

    fn of_ids(events: &[RecordedEvent], id_of: fn(&RecordedEvent) -> Option<Uuid>) -> Texts {
        let mut texts = Texts::with_room(events.len() * Hyphenated::LENGTH, events.len());
        for event in events {
            let id = id_of(event).map(Uuid::hyphenated);
            let mut written = [0; Hyphenated::LENGTH];
            texts.push(id.as_ref().map_or("", |id| id.encode_lower(&mut written)));
        }
        texts
    }

    fn with_room(bytes: usize, events: usize) -> Texts {
        Texts {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(events),
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        let end = u32::try_from(self.text.len());
        self.ends
            .push(end.expect("a chunk fits into the memory of a guest"));
    }
}

fn numbers<T>(events: &[RecordedEvent], number: fn(&RecordedEvent) -> T) -> Vec<T> {
    events.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Texts as EventTexts;

    fn events() -> Vec<RecordedEvent> {
        let first = EventTexts::new("account-1", "Opened", r#"{"owner":"Zoë"}"#, "{}");
        let second = EventTexts::new("account-22", "Closed", "{}", r#"{"by":"me"}"#);
        let mut events = vec![
            RecordedEvent::bare(7, first),
            RecordedEvent::bare(9, second),
        ];
        events[0].id = Uuid::from_u128(1);
        events[0].causation_id = Some(Uuid::from_u128(2));
        events[1].correlation_id = Some(Uuid::from_u128(3));
        events[1].tags = vec!["tag".to_owned()];
        events[1].recorded_at_micros = 5;
        events
    }

    fn texts(text: &str, ends: [u32; 2]) -> Texts {
        Texts {
            text: text.to_owned(),
            ends: ends.to_vec(),
        }
    }

    #[test]
    fn every_part_has_an_entry_for_each_event() {
        let id = |number| Uuid::from_u128(number).to_string();
        let expected = Chunk {
            positions: vec![7, 9],
            types: texts("OpenedClosed", [6, 12]),
            ids: texts(&(id(1) + &id(0)), [36, 72]),
            streams: texts("account-1account-22", [9, 19]),
            versions: vec![7, 9],
            recorded_at: vec![0, 5],
            data: texts(r#"{"owner":"Zoë"}{}"#, [16, 18]),
            metadata: texts(r#"{}{"by":"me"}"#, [2, 13]),
            causation_ids: texts(&id(2), [36, 36]),
            correlation_ids: texts(&id(3), [0, 36]),
            tags: vec![vec![], vec!["tag".to_owned()]],
        };
        assert_eq!(Chunk::of(&events(), EventParts::ALL), expected);
    }

    #[test]
    fn what_the_guest_does_not_look_at_is_empty() {
        let expected = Chunk {
            positions: vec![7, 9],
            types: texts("OpenedClosed", [6, 12]),
            ids: Texts::default(),
            streams: texts("account-1account-22", [9, 19]),
            versions: vec![],
            recorded_at: vec![],
            data: Texts::default(),
            metadata: Texts::default(),
            causation_ids: Texts::default(),
            correlation_ids: Texts::default(),
            tags: vec![],
        };
        let parts = EventParts::parse("stream").expect("a part's name");
        assert_eq!(Chunk::of(&events(), parts), expected);
    }
}
