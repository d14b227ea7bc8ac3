//! Which events a subscriber wants.

use crate::bindings::projectionist::events::types::Clause as WireClause;

/// One clause of a filter. Within a clause every list that is given must match; within a list any entry may. A trailing
/// `*` matches every continuation. Several clauses are alternatives.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Clause(WireClause);

impl Clause {
    /// Events of these types.
    pub fn types<I: IntoIterator<Item: Into<String>>>(types: I) -> Clause {
        Clause(WireClause {
            types: texts(types),
            ..empty()
        })
    }

    /// Events in these streams.
    pub fn streams<I: IntoIterator<Item: Into<String>>>(streams: I) -> Clause {
        Clause(WireClause {
            streams: texts(streams),
            ..empty()
        })
    }

    /// Events with at least one of these tags.
    pub fn tags<I: IntoIterator<Item: Into<String>>>(tags: I) -> Clause {
        Clause(WireClause {
            tags: texts(tags),
            ..empty()
        })
    }

    /// And of these types.
    pub fn and_types<I: IntoIterator<Item: Into<String>>>(mut self, types: I) -> Clause {
        self.0.types.extend(texts(types));
        self
    }

    /// And in these streams.
    pub fn and_streams<I: IntoIterator<Item: Into<String>>>(mut self, streams: I) -> Clause {
        self.0.streams.extend(texts(streams));
        self
    }

    /// And with at least one of these tags.
    pub fn and_tags<I: IntoIterator<Item: Into<String>>>(mut self, tags: I) -> Clause {
        self.0.tags.extend(texts(tags));
        self
    }

    /// But not of these types.
    pub fn except_types<I: IntoIterator<Item: Into<String>>>(mut self, types: I) -> Clause {
        self.0.except_types.extend(texts(types));
        self
    }

    pub(crate) fn into_wire(self) -> WireClause {
        self.0
    }
}

fn empty() -> WireClause {
    WireClause {
        types: Vec::new(),
        except_types: Vec::new(),
        streams: Vec::new(),
        tags: Vec::new(),
    }
}

fn texts<I: IntoIterator<Item: Into<String>>>(texts: I) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

/// Whether `text` matches `pattern`, by the rule of the host's filter.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}
