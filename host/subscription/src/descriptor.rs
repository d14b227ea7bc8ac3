//! What a guest says about itself, and the limits that it must keep to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::option::{check_options, event_parts, keep, rebuild_state, retry_policy, switch_when};
use crate::quote::quoted;
use crate::{
    BadId, BadOption, BadPattern, CHUNK_EVENTS_MAX, EventParts, Filter, KNOWN_OPTIONS, Keep,
    Pattern, RetryPolicy, SubscriberId, SwitchWhen,
};

/// Bytes of a group's name.
pub const GROUP_BYTES_MAX: usize = 64;
/// Lanes of a subscription: each is a row lock and may be a batch at work.
pub const LANES_MAX: u32 = 64;
/// Bytes of a partition key's description.
pub const PARTITION_BYTES_MAX: usize = 256;
/// Clauses of a filter.
pub const CLAUSES_MAX: usize = 64;
/// Patterns in all lists of a filter together.
pub const PATTERNS_MAX: usize = 1_024;

/// What a guest says about itself.
///
/// `Deserialize` trusts its input; what comes from a guest goes through [`Descriptor::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    pub id: SubscriberId,
    pub kind: Kind,
    /// What operators select it by; empty: the default of its kind.
    pub group: String,
    /// The events it wants.
    pub filter: Filter,
    /// Where the first version of its line begins.
    pub run_mode: RunMode,
    /// Which events must stay in order: `none` (all), `any` (none), `stream`, `tag:PREFIX` or
    /// `data:/json/pointer`. Empty: `none`.
    pub partition_by: String,
    /// Partitions that run side by side; 0 and 1 are one.
    pub lanes: u32,
    pub consistency: Consistency,
    /// Most events in one call; 0: the default of its kind.
    pub max_chunk: u32,
    /// Wishes by name, see [`KNOWN_OPTIONS`].
    pub options: Vec<(String, String)>,
}

/// The two kinds of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Folds events into tables; deterministic; exactly once.
    Projector,
    /// Reacts to events; at least once.
    Processor,
}

/// Where the first version of a line begins, and whether it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    FromBeginning,
    /// From the horizon at registration.
    FromNow,
    /// From the beginning to the horizon at the start of booting, then Finished.
    Once,
    /// After this position.
    FromPosition(i64),
}

/// Whether application code may wait for this guest to have seen its own write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    #[default]
    Eventual,
    Strong,
}

impl Descriptor {
    /// A guest of this kind that wants every event and is content with all defaults.
    pub fn new(id: SubscriberId, kind: Kind) -> Descriptor {
        Descriptor {
            id,
            kind,
            group: kind.default_group().to_owned(),
            filter: Filter::default(),
            run_mode: kind.default_run_mode(),
            partition_by: "none".to_owned(),
            lanes: 1,
            consistency: Consistency::Eventual,
            max_chunk: 0,
            options: Vec::new(),
        }
    }

    /// The descriptor with its defaults filled in.
    ///
    /// # Errors
    /// [`BadDescriptor`] names the guest, the first rule that it breaks, and the limit where there is one.
    pub fn check(mut self) -> Result<Descriptor, BadDescriptor> {
        if self.group.is_empty() {
            self.group = self.kind.default_group().to_owned();
        }
        if self.partition_by.is_empty() {
            self.partition_by = "none".to_owned();
        }
        self.lanes = self.lanes.max(1);
        match self.fault() {
            Ok(()) => Ok(self),
            Err(fault) => Err(BadDescriptor { id: self.id, fault }),
        }
    }

    /// Events in one call: a projector takes as many as it can get, a processor one, so that a failure repeats
    /// the effects of no other event.
    pub fn chunk_events(&self) -> u32 {
        match (self.kind, self.max_chunk) {
            (Kind::Projector, 0) => CHUNK_EVENTS_MAX,
            (Kind::Processor, 0) => 1,
            (_, wanted) => wanted.min(CHUNK_EVENTS_MAX),
        }
    }

    /// The retry policy: the host's, with what this guest wants otherwise. Values that [`Descriptor::check`]
    /// refuses leave the host's.
    pub fn retry(&self, host: RetryPolicy) -> RetryPolicy {
        retry_policy(&self.options, host).unwrap_or(host)
    }

    /// What it looks at of its events.
    pub fn event_parts(&self) -> EventParts {
        event_parts(&self.options).unwrap_or_default()
    }

    /// Whether a later version of a processor first goes through history, muted.
    pub fn rebuilds_state(&self) -> bool {
        rebuild_state(&self.options).unwrap_or(false)
    }

    /// When a version that has caught up goes live, if this guest says.
    pub fn switch_when(&self) -> Option<SwitchWhen> {
        switch_when(&self.options).unwrap_or(None)
    }

    /// Which versions are kept once this one is live, if this guest says.
    pub fn keep(&self) -> Option<Keep> {
        keep(&self.options).unwrap_or(None)
    }

    /// The option with this key.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
    }

    /// The keys of options that the host does not know, to be reported.
    pub fn unknown_options(&self) -> impl Iterator<Item = &str> {
        self.options
            .iter()
            .map(|(key, _)| key.as_str())
            .filter(|key| !KNOWN_OPTIONS.contains(key))
    }

    fn fault(&self) -> Result<(), Fault> {
        SubscriberId::parse(self.id.as_str(), self.kind).map_err(Fault::Id)?;
        let is_word = |c: char| c.is_alphanumeric() || ['_', '-', '.'].contains(&c);
        if self.group.len() > GROUP_BYTES_MAX || !self.group.chars().all(is_word) {
            return Err(Fault::Group(self.group.clone()));
        }
        if let RunMode::FromPosition(position) = self.run_mode
            && position < 0
        {
            return Err(Fault::Position(position));
        }
        check_filter(&self.filter)?;
        check_partition(&self.partition_by)?;
        if self.lanes > LANES_MAX {
            return Err(Fault::Lanes(self.lanes));
        }
        if self.lanes > 1 && self.partition_by == "none" {
            return Err(Fault::LanesWithoutKey(self.lanes));
        }
        check_options(&self.options).map_err(Fault::Option)
    }
}

/// A pattern made in code may be none that its text can be read back as.
fn check_filter(filter: &Filter) -> Result<(), Fault> {
    if filter.0.len() > CLAUSES_MAX {
        return Err(Fault::Clauses(filter.0.len()));
    }
    let patterns = || {
        filter
            .0
            .iter()
            .flat_map(|clause| clause.lists())
            .flat_map(|(_, list)| list)
    };
    if patterns().count() > PATTERNS_MAX {
        return Err(Fault::Patterns(patterns().count()));
    }
    for pattern in patterns() {
        let text = pattern.to_string();
        if Pattern::parse(&text).as_ref() != Ok(pattern) {
            return Err(Fault::Pattern(BadPattern(text)));
        }
    }
    Ok(())
}

fn check_partition(text: &str) -> Result<(), Fault> {
    let is_known = match text.split_once(':') {
        Some(("tag", prefix)) => !prefix.is_empty(),
        Some(("data", pointer)) => is_json_pointer(pointer),
        _ => ["none", "any", "stream"].contains(&text),
    };
    if is_known && text.len() <= PARTITION_BYTES_MAX && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(Fault::Partition(text.to_owned()))
}

/// RFC 6901, without the empty pointer, which would be the whole body.
fn is_json_pointer(text: &str) -> bool {
    let escapes_are_whole = text
        .split('~')
        .skip(1)
        .all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/') && escapes_are_whole
}

/// A descriptor that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadDescriptor {
    /// The guest as it calls itself.
    pub id: SubscriberId,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Fault {
    Id(BadId),
    Group(String),
    Position(i64),
    Clauses(usize),
    Patterns(usize),
    Pattern(BadPattern),
    Partition(String),
    Lanes(u32),
    LanesWithoutKey(u32),
    Option(BadOption),
}

impl std::error::Error for BadDescriptor {}

impl fmt::Display for BadDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the guest `{}` cannot be accepted: ", self.id)?;
        match &self.fault {
            Fault::Id(bad) => bad.fmt(formatter),
            Fault::Group(group) => write!(
                formatter,
                "its group is {}: use letters, digits, `_`, `-` and `.`, at most {GROUP_BYTES_MAX} bytes",
                quoted(group)
            ),
            Fault::Position(position) => write!(
                formatter,
                "it wants to begin after position {position}: give 0 (the beginning) or more"
            ),
            Fault::Clauses(found) => write!(
                formatter,
                "its filter has {found} clauses, at most {CLAUSES_MAX} are allowed: put patterns of one kind \
                 into one clause"
            ),
            Fault::Patterns(found) => write!(
                formatter,
                "its filter has {found} patterns, at most {PATTERNS_MAX} are allowed: use prefixes such as `order-*`"
            ),
            Fault::Pattern(bad) => write!(formatter, "in its filter, {bad}"),
            Fault::Partition(text) => write!(
                formatter,
                "it is partitioned by {}: use `none`, `any`, `stream`, `tag:PREFIX` or `data:/json/pointer`, at \
                 most {PARTITION_BYTES_MAX} bytes",
                quoted(text)
            ),
            Fault::Lanes(lanes) => {
                write!(
                    formatter,
                    "it wants {lanes} lanes, at most {LANES_MAX} are allowed: ask for fewer"
                )
            }
            Fault::LanesWithoutKey(lanes) => write!(
                formatter,
                "it wants {lanes} lanes but is partitioned by `none`, which is one: say what keeps its order, such \
                 as `stream`"
            ),
            Fault::Option(bad) => bad.fmt(formatter),
        }
    }
}

impl Kind {
    /// The name as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Projector => "projector",
            Kind::Processor => "processor",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Kind> {
        [Kind::Projector, Kind::Processor]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// The group of a guest that names none.
    pub fn default_group(self) -> &'static str {
        self.as_str()
    }

    /// A projector wants history, a processor must not react to it.
    pub fn default_run_mode(self) -> RunMode {
        match self {
            Kind::Projector => RunMode::FromBeginning,
            Kind::Processor => RunMode::FromNow,
        }
    }
}

impl RunMode {
    /// The name as it is stored, beside [`RunMode::position`].
    pub fn name(self) -> &'static str {
        match self {
            RunMode::FromBeginning => "from-beginning",
            RunMode::FromNow => "from-now",
            RunMode::Once => "once",
            RunMode::FromPosition(_) => "from-position",
        }
    }

    /// The explicit position, exclusive.
    pub fn position(self) -> Option<i64> {
        match self {
            RunMode::FromPosition(position) => Some(position),
            RunMode::FromBeginning | RunMode::FromNow | RunMode::Once => None,
        }
    }

    /// The run mode that [`RunMode::name`] and [`RunMode::position`] came from; `None` for any other pair.
    pub fn from_parts(name: &str, position: Option<i64>) -> Option<RunMode> {
        match (name, position) {
            ("from-beginning", None) => Some(RunMode::FromBeginning),
            ("from-now", None) => Some(RunMode::FromNow),
            ("once", None) => Some(RunMode::Once),
            ("from-position", Some(position)) => Some(RunMode::FromPosition(position)),
            _ => None,
        }
    }
}

impl Consistency {
    /// The name as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Consistency::Eventual => "eventual",
            Consistency::Strong => "strong",
        }
    }

    /// The consistency of that name.
    pub fn parse(text: &str) -> Option<Consistency> {
        [Consistency::Eventual, Consistency::Strong]
            .into_iter()
            .find(|c| c.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for RunMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(position) => write!(formatter, "{} {position}", self.name()),
            None => formatter.write_str(self.name()),
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
