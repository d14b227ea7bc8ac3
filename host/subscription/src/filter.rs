//! Which events a guest wants: clauses of patterns over type, stream and tags.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// Bytes of a pattern: those of the longest stream name.
pub const PATTERN_BYTES_MAX: usize = 512;

/// Any clause may match; no clause at all matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(pub Vec<Clause>);

/// Every list that is not empty must match; within a list any pattern may. `except_types` matches when none of
/// its patterns does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clause {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except_types: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Pattern>,
}

/// `x` is exactly that, `x*` begins with it, `*` is anything. Compared byte by byte, as collation C does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Filter {
    /// Whether an event of this type, stream and tags is wanted.
    pub fn matches<T: AsRef<str>>(&self, event_type: &str, stream: &str, tags: &[T]) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|clause| clause.matches(event_type, stream, tags))
    }

    /// Whether it wants every event there can be, so that reading need not filter at all.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(Clause::is_everything)
    }

    /// The same wish written in one way: sorted, without doubles, empty when it wants everything. Two filters
    /// that differ in order only are equal in this form; a guest may list its handlers in any order.
    pub fn canonical(&self) -> Filter {
        if self.is_everything() {
            return Filter::default();
        }
        let mut clauses: Vec<Clause> = self.0.iter().map(Clause::canonical).collect();
        clauses.sort();
        clauses.dedup();
        Filter(clauses)
    }
}

impl Clause {
    /// Whether an event of this type, stream and tags is wanted.
    pub fn matches<T: AsRef<str>>(&self, event_type: &str, stream: &str, tags: &[T]) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|p| p.matches(text));
        (self.types.is_empty() || any(&self.types, event_type))
            && !any(&self.except_types, event_type)
            && (self.streams.is_empty() || any(&self.streams, stream))
            && (self.tags.is_empty() || tags.iter().any(|tag| any(&self.tags, tag.as_ref())))
    }

    /// `tags: *` is not everything: it wants events that have a tag.
    fn is_everything(&self) -> bool {
        let open = |patterns: &[Pattern]| {
            patterns.is_empty() || patterns.contains(&Pattern::Prefix(String::new()))
        };
        open(&self.types)
            && self.except_types.is_empty()
            && open(&self.streams)
            && self.tags.is_empty()
    }

    fn canonical(&self) -> Clause {
        let sorted = |patterns: &[Pattern]| {
            let mut patterns = patterns.to_vec();
            patterns.sort();
            patterns.dedup();
            patterns
        };
        Clause {
            types: sorted(&self.types),
            except_types: sorted(&self.except_types),
            streams: sorted(&self.streams),
            tags: sorted(&self.tags),
        }
    }

    /// Its lists with their names.
    pub(crate) fn lists(&self) -> [(&'static str, &[Pattern]); 4] {
        [
            ("types", &self.types),
            ("except-types", &self.except_types),
            ("streams", &self.streams),
            ("tags", &self.tags),
        ]
    }
}

impl Pattern {
    /// Reads `x`, `x*` or `*`.
    ///
    /// # Errors
    /// [`BadPattern`] for an empty text, a `*` before the end, a control character, or more than
    /// [`PATTERN_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Pattern, BadPattern> {
        let bad = || BadPattern(text.to_owned());
        let (body, is_prefix) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        let is_bad = text.is_empty()
            || text.len() > PATTERN_BYTES_MAX
            || body.contains(|c: char| c == '*' || c.is_control());
        match (is_bad, is_prefix) {
            (true, _) => Err(bad()),
            (false, true) => Ok(Pattern::Prefix(body.to_owned())),
            (false, false) => Ok(Pattern::Exact(body.to_owned())),
        }
    }

    /// Reads a list of patterns.
    ///
    /// # Errors
    /// [`BadPattern`] for the first that is none.
    pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Pattern>, BadPattern> {
        texts
            .iter()
            .map(|text| Pattern::parse(text.as_ref()))
            .collect()
    }

    /// Whether this text is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(exact) => text == exact,
            Pattern::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadPattern(pub String);

impl std::error::Error for BadPattern {}

impl fmt::Display for BadPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is no pattern: write a name, or the beginning of one and a single * at its end, without control \
             characters, at most {PATTERN_BYTES_MAX} bytes",
            quoted(&self.0)
        )
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return formatter.write_str("every event");
        }
        let clauses: Vec<String> = self.0.iter().map(Clause::to_string).collect();
        formatter.write_str(&clauses.join(" or "))
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (name, patterns) in self.lists() {
            if !patterns.is_empty() {
                let texts: Vec<String> = patterns.iter().map(Pattern::to_string).collect();
                parts.push(format!("{name} {}", texts.join(", ")));
            }
        }
        if parts.is_empty() {
            return formatter.write_str("every event");
        }
        write!(formatter, "[{}]", parts.join("; "))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(exact) => formatter.write_str(exact),
            Pattern::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Pattern, BadPattern> {
        Pattern::parse(text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Pattern, BadPattern> {
        Pattern::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}
