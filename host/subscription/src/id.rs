//! Subscriber ids and the lines they belong to: `accounts_2` is version 2 of the line `accounts`.
//!
//! A guest's tables live in the schema of its id and readers use the schema of its line, so the rules keep
//! both inside what PostgreSQL allows and away from each other and from schemas that are not ours.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Kind;
use crate::quote::quoted;

/// Bytes of a subscriber id. PostgreSQL cuts names at 63; the rest is for what the host adds to a role's name.
pub const ID_BYTES_MAX: usize = 48;

/// The highest version: what a `bigint` holds, so that a timestamp can serve as one.
pub const VERSION_MAX: u64 = i64::MAX.unsigned_abs();

const RESERVED: [&str; 3] = ["public", "projectionist", "information_schema"];
const RESERVED_PREFIXES: [&str; 2] = ["pg_", "pj_"];

/// A guest's identity. Orders by line, then by version as a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriberId {
    line: Line,
    version: u64,
    text: String,
}

/// An id without its version: the name that readers use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line(String);

impl SubscriberId {
    /// Reads an id as a guest of this kind may carry it.
    ///
    /// # Errors
    /// [`BadId`] names the rule that the text breaks and a text that would pass.
    pub fn parse(text: &str, kind: Kind) -> Result<SubscriberId, BadId> {
        let refuse = |fault| BadId {
            text: text.to_owned(),
            fault,
        };
        check_name(text).map_err(refuse)?;
        let (line, version) = match split_number(text) {
            Some((line, digits)) => (line, parse_version(digits).map_err(refuse)?),
            None if kind == Kind::Projector => return Err(refuse(IdFault::NoVersion)),
            None => (text, 0),
        };
        check_line(line).map_err(refuse)?;
        Ok(SubscriberId {
            line: Line(line.to_owned()),
            version,
            text: text.to_owned(),
        })
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id without its version.
    pub fn line(&self) -> &str {
        self.line.as_str()
    }

    /// The number at its end; 0 for a processor without one.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Line {
    /// Reads the name of a line.
    ///
    /// # Errors
    /// [`BadId`] as for an id.
    pub fn parse(text: &str) -> Result<Line, BadId> {
        check_name(text)
            .and_then(|()| check_line(text))
            .map_err(|fault| BadId {
                text: text.to_owned(),
                fault,
            })?;
        Ok(Line(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_name(text: &str) -> Result<(), IdFault> {
    if text.is_empty() {
        return Err(IdFault::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdFault::TooLong);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if let Some(found) = text.chars().find(|c| !allowed(*c)) {
        return Err(IdFault::Character(found));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(IdFault::NoLetterFirst);
    }
    if RESERVED_PREFIXES
        .iter()
        .any(|prefix| text.starts_with(prefix))
    {
        return Err(IdFault::Reserved);
    }
    Ok(())
}

fn check_line(line: &str) -> Result<(), IdFault> {
    if split_number(line).is_some() {
        return Err(IdFault::LineEndsInNumber);
    }
    if RESERVED.contains(&line) {
        return Err(IdFault::Reserved);
    }
    Ok(())
}

/// `accounts_2` as `accounts` and `2`; `None` when it does not end in `_` and digits.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let (line, digits) = text.rsplit_once('_')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((line, digits))
}

/// 0 counts as a leading zero: it is the version of a processor without a number.
fn parse_version(digits: &str) -> Result<u64, IdFault> {
    if digits.starts_with('0') {
        return Err(IdFault::LeadingZero);
    }
    match digits.parse() {
        Ok(version) if version <= VERSION_MAX => Ok(version),
        _ => Err(IdFault::VersionTooHigh),
    }
}

/// A text that is no subscriber id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadId {
    pub text: String,
    pub fault: IdFault,
}

/// The rule that an id breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdFault {
    Empty,
    /// More than [`ID_BYTES_MAX`] bytes.
    TooLong,
    /// Something else than `a-z`, `0-9` and `_`.
    Character(char),
    NoLetterFirst,
    /// A projector without a version.
    NoVersion,
    LeadingZero,
    /// Above [`VERSION_MAX`].
    VersionTooHigh,
    /// `a_1_2`: the schema of its line would be the schema of the id `a_1`.
    LineEndsInNumber,
    /// A schema that is PostgreSQL's or the host's.
    Reserved,
}

impl std::error::Error for BadId {}

impl fmt::Display for BadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = quoted(&self.text);
        match self.fault {
            IdFault::Empty => write!(
                formatter,
                "the subscriber id is empty: name the guest for what it builds, such as `accounts_1`"
            ),
            IdFault::TooLong => write!(
                formatter,
                "the subscriber id {text} has {} bytes, at most {ID_BYTES_MAX} are allowed: shorten it",
                self.text.len()
            ),
            IdFault::Character(found) => write!(
                formatter,
                "the subscriber id {text} contains {found:?}: use a-z, 0-9 and _ only, such as `accounts_1`"
            ),
            IdFault::NoLetterFirst => write!(
                formatter,
                "the subscriber id {text} does not begin with a letter: begin it with a-z, such as `accounts_1`"
            ),
            IdFault::NoVersion => write!(
                formatter,
                "the projector id {text} has no version: end it in _<number>, such as `{}_1`",
                self.text.trim_end_matches('_')
            ),
            IdFault::LeadingZero => write!(
                formatter,
                "the version of the subscriber id {text} begins with 0: count from 1 without leading zeros"
            ),
            IdFault::VersionTooHigh => write!(
                formatter,
                "the version of the subscriber id {text} is above {VERSION_MAX}: use a lower number"
            ),
            IdFault::LineEndsInNumber => write!(
                formatter,
                "the line of the subscriber id {text} ends in a number itself, so its schema would be that of \
                 another id: keep one number, at the end"
            ),
            IdFault::Reserved => write!(
                formatter,
                "the subscriber id {text} would use a schema of PostgreSQL or of the host (public, pg_*, pj_*, \
                 projectionist, information_schema): choose another name"
            ),
        }
    }
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl AsRef<str> for SubscriberId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<SubscriberId> for String {
    fn from(id: SubscriberId) -> String {
        id.text
    }
}

impl From<Line> for String {
    fn from(line: Line) -> String {
        line.0
    }
}

/// For stored text, which comes without its kind: by the rules of a processor, which contain a projector's.
impl TryFrom<String> for SubscriberId {
    type Error = BadId;

    fn try_from(text: String) -> Result<SubscriberId, BadId> {
        SubscriberId::parse(&text, Kind::Processor)
    }
}

impl TryFrom<String> for Line {
    type Error = BadId;

    fn try_from(text: String) -> Result<Line, BadId> {
        Line::parse(&text)
    }
}
