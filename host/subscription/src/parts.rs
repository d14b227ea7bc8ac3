//! What a guest looks at of its events: the rest is neither read nor handed over.

use std::fmt;

/// A part of an event that a guest may do without. Position and type are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventPart {
    Id,
    Stream,
    Version,
    RecordedAt,
    Data,
    Metadata,
    /// The ids of cause and conversation.
    Causation,
    Tags,
}

/// A set of them; all, unless a guest says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventParts(u8);

impl EventPart {
    pub const ALL: [EventPart; 8] = [
        EventPart::Id,
        EventPart::Stream,
        EventPart::Version,
        EventPart::RecordedAt,
        EventPart::Data,
        EventPart::Metadata,
        EventPart::Causation,
        EventPart::Tags,
    ];

    /// Its name in the option `event-parts`.
    pub fn name(self) -> &'static str {
        match self {
            EventPart::Id => "id",
            EventPart::Stream => "stream",
            EventPart::Version => "version",
            EventPart::RecordedAt => "recorded-at",
            EventPart::Data => "data",
            EventPart::Metadata => "metadata",
            EventPart::Causation => "causation",
            EventPart::Tags => "tags",
        }
    }
}

impl EventParts {
    pub const ALL: EventParts = EventParts(u8::MAX);

    /// A list of names with commas between them; an empty one for position and type alone.
    ///
    /// # Errors
    /// The name that no part has.
    pub fn parse(text: &str) -> Result<EventParts, String> {
        let mut parts = EventParts(0);
        let names = text.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let part = EventPart::ALL.into_iter().find(|part| part.name() == name);
            parts.0 |= 1 << part.ok_or_else(|| name.to_owned())? as u8;
        }
        Ok(parts)
    }

    pub fn has(self, part: EventPart) -> bool {
        self.0 & (1 << part as u8) != 0
    }
}

impl Default for EventParts {
    fn default() -> EventParts {
        EventParts::ALL
    }
}

impl fmt::Debug for EventParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let those = EventPart::ALL.into_iter().filter(|part| self.has(*part));
        formatter.debug_set().entries(those).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{EventPart, EventParts};

    #[test]
    fn each_name_stands_for_its_part_and_no_other() {
        for part in EventPart::ALL {
            let parts = EventParts::parse(part.name()).expect("a known name");
            for other in EventPart::ALL {
                assert_eq!(parts.has(other), other == part, "{part:?} {other:?}");
            }
        }
        let names = EventPart::ALL.map(EventPart::name).join(", ");
        assert_eq!(EventParts::parse(&names), Ok(EventParts::ALL));
        let none = EventParts::parse("").expect("an empty list");
        assert!(!EventPart::ALL.into_iter().any(|part| none.has(part)));
    }

    #[test]
    fn what_is_no_name_is_told() {
        assert_eq!(EventParts::parse("id,dta"), Err("dta".to_owned()));
    }
}
