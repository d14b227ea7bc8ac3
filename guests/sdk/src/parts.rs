//! What handlers look at of their events, so that the host neither reads nor hands over the rest.

/// Parts of an event, as a set. Position and type are always there; what no handler asks for is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts(u8);

const NAMES: [(Parts, &str); 8] = [
    (Parts::ID, "id"),
    (Parts::STREAM, "stream"),
    (Parts::VERSION, "version"),
    (Parts::RECORDED_AT, "recorded-at"),
    (Parts::DATA, "data"),
    (Parts::METADATA, "metadata"),
    (Parts::CAUSATION, "causation"),
    (Parts::TAGS, "tags"),
];

impl Parts {
    /// Position and type alone.
    pub const NONE: Parts = Parts(0);
    /// The event's id.
    pub const ID: Parts = Parts(1);
    /// The stream's name.
    pub const STREAM: Parts = Parts(1 << 1);
    /// The number in the stream.
    pub const VERSION: Parts = Parts(1 << 2);
    /// The time of recording.
    pub const RECORDED_AT: Parts = Parts(1 << 3);
    /// The body.
    pub const DATA: Parts = Parts(1 << 4);
    /// The metadata.
    pub const METADATA: Parts = Parts(1 << 5);
    /// The ids of cause and conversation.
    pub const CAUSATION: Parts = Parts(1 << 6);
    /// The tags.
    pub const TAGS: Parts = Parts(1 << 7);
    /// The whole event.
    pub const ALL: Parts = Parts(u8::MAX);

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Parts) -> Parts {
        Parts(self.0 | others.0)
    }

    /// As the host takes them in the option `event-parts`.
    pub(crate) fn names(self) -> String {
        let names = NAMES.iter().filter(|(part, _)| self.0 & part.0 != 0);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_name() {
        assert_eq!(
            Parts::ALL.names(),
            "id,stream,version,recorded-at,data,metadata,causation,tags"
        );
        assert_eq!(Parts::DATA.and(Parts::STREAM).names(), "stream,data");
        assert_eq!(Parts::NONE.names(), "");
    }
}
