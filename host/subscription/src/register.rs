//! What a module may be to a subscription: its beginning, the same, other code for it, or refused.
//!
//! A refusal leaves the last good module at work. Nothing here changes a status: in particular a Detached
//! subscription stays so when its file returns, since a rollback must not write unasked into a read model that
//! its successor has left behind.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::option::TABLES;
use crate::quote::cut;
use crate::{Descriptor, Digest, Filter, Kind, Resume, RunMode, Status, SubscriberId};

/// What the host has stored about a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub status: Status,
    /// What its guest said when it was registered or last refreshed.
    pub descriptor: Descriptor,
    /// Of its newest module.
    pub digest: Digest,
}

/// A version of the line that is known to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineVersion {
    pub id: SubscriberId,
    pub kind: Kind,
    /// Whether readers see this one.
    pub live: bool,
    /// Whether it is at work or may be again without anybody's doing: it is not Detached.
    pub attached: bool,
}

/// What an accepted module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// The beginning of a subscription: see [`crate::start`].
    New,
    /// What is stored already.
    Unchanged,
    /// Other bytes under the same id: they take over between two batches.
    Swap,
}

/// Decides what the module `found` is to the subscription with its id.
///
/// A changed group, a processor's changed filter, and a run mode that changes while the subscription is New and has no
/// tables to contradict it, wait for [`crate::refresh`].
///
/// # Errors
/// [`Refused`] when the module would contradict what has been built, or a version that is live.
pub fn register(
    stored: Option<&Stored>,
    found: &Descriptor,
    found_digest: &Digest,
    line_versions: &[LineVersion],
) -> Result<Registration, Refused> {
    let refuse = |reason| Refused {
        id: found.id.clone(),
        bump: bump(found, line_versions),
        reason: Box::new(reason),
    };
    match stored {
        None => check_line(found, line_versions)
            .map_err(refuse)
            .map(|()| Registration::New),
        // The same bytes say what they said when they were taken up, and some of that may wait for `refresh`.
        Some(stored) if stored.digest == *found_digest => Ok(Registration::Unchanged),
        Some(stored) => check_same(stored, found)
            .map_err(refuse)
            .map(|()| Registration::Swap),
    }
}

/// Only a version that has run here may come back below the live one, and that is `activate`'s work.
fn check_line(found: &Descriptor, line_versions: &[LineVersion]) -> Result<(), Reason> {
    if let Some(other) = line_versions
        .iter()
        .find(|version| version.kind != found.kind)
    {
        return Err(Reason::LineKind {
            other: other.id.clone(),
            kind: other.kind,
            found: found.kind,
        });
    }
    let above = || {
        let versions = line_versions.iter();
        versions.filter(|version| version.id.version() > found.id.version())
    };
    if let Some(live) = above().find(|version| version.live) {
        return Err(Reason::BelowLive {
            live: live.id.clone(),
        });
    }
    match above().find(|version| version.attached) {
        Some(building) => Err(Reason::BelowBuilding {
            building: building.id.clone(),
        }),
        None => Ok(()),
    }
}

fn check_same(stored: &Stored, found: &Descriptor) -> Result<(), Reason> {
    let known = &stored.descriptor;
    if known.kind != found.kind {
        return Err(Reason::Kind {
            stored: known.kind,
            found: found.kind,
        });
    }
    if known.run_mode != found.run_mode && stored.status != Status::New {
        return Err(Reason::RunMode {
            stored: known.run_mode,
            found: found.run_mode,
        });
    }
    if found.kind == Kind::Projector && known.filter.canonical() != found.filter.canonical() {
        return Err(Reason::Filter {
            stored: known.filter.clone(),
            found: found.filter.clone(),
        });
    }
    // A guest that does not say which tables it has makes them by itself, and is trusted with them.
    if let (Some(stored_tables), Some(found_tables)) = (known.option(TABLES), found.option(TABLES))
        && stored_tables != found_tables
        && has_tables(stored.status)
    {
        return Err(Reason::Tables {
            stored: stored_tables.to_owned(),
            found: found_tables.to_owned(),
        });
    }
    let lanes = |guest: &Descriptor| (guest.partition_by.clone(), guest.lanes);
    if lanes(known) != lanes(found) && stored.status != Status::New {
        return Err(Reason::Lanes {
            stored: lanes(known),
            found: lanes(found),
        });
    }
    Ok(())
}

/// Whether setup has been through.
fn has_tables(status: Status) -> bool {
    status != Status::New && status.resume() != Some(Resume::New)
}

/// The next free id of the line.
fn bump(found: &Descriptor, line_versions: &[LineVersion]) -> String {
    let known = line_versions.iter().map(|version| version.id.version());
    let highest = known.fold(found.id.version(), u64::max);
    format!("{}_{}", found.id.line(), highest.saturating_add(1))
}

/// A module that contradicts what is stored. The last good one stays at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub id: SubscriberId,
    /// The next free id of its line.
    pub bump: String,
    reason: Box<Reason>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reason {
    Kind {
        stored: Kind,
        found: Kind,
    },
    RunMode {
        stored: RunMode,
        found: RunMode,
    },
    Filter {
        stored: Filter,
        found: Filter,
    },
    Tables {
        stored: String,
        found: String,
    },
    Lanes {
        stored: (String, u32),
        found: (String, u32),
    },
    BelowLive {
        live: SubscriberId,
    },
    BelowBuilding {
        building: SubscriberId,
    },
    LineKind {
        other: SubscriberId,
        kind: Kind,
        found: Kind,
    },
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, bump, line) = (&self.id, &self.bump, self.id.line());
        match &*self.reason {
            Reason::Kind { stored, found } => write!(
                formatter,
                "`{id}` is a {stored}, and this module says it is a {found}; a subscription keeps its kind: bump \
                 the id to one of another line, or remove `{id}` first"
            ),
            Reason::RunMode { stored, found } => write!(
                formatter,
                "`{id}` runs `{stored}`, and this module wants `{found}`; where it began cannot change any more: \
                 bump the id, to `{bump}`, or remove `{id}` first"
            ),
            Reason::Filter { stored, found } => write!(
                formatter,
                "`{id}` has been built from {}, and this module wants {}; its tables would not fit its history: bump \
                 the id, to `{bump}`, and that is built beside this one",
                cut(&stored.to_string()),
                cut(&found.to_string())
            ),
            Reason::Tables { stored, found } => write!(
                formatter,
                "`{id}` has the tables {}, and this module wants {}; they were made when it was set up and are not changed: \
                 bump the id, to `{bump}`, and that is built beside this one",
                cut(stored),
                cut(found)
            ),
            Reason::Lanes { stored, found } => write!(
                formatter,
                "`{id}` has `lanes` {} and `partition-by` `{}`, and this module wants {} and `{}`; its checkpoints belong to its \
                 lanes: bump the id, to `{bump}`",
                stored.1, stored.0, found.1, found.0
            ),
            Reason::BelowLive { live } => write!(
                formatter,
                "`{id}` has never run here and `{live}` is live; a lower version does not take over: bump the id, to \
                 `{bump}`, or go back to a version that ran here with `projectionist activate ID`"
            ),
            Reason::BelowBuilding { building } => write!(
                formatter,
                "`{id}` has never run here and `{building}` is being built; of two new versions the higher one is taken: \
                 bump the id, to `{bump}`, or remove `{building}` with its file first"
            ),
            Reason::LineKind { other, kind, found } => write!(
                formatter,
                "`{id}` is a {found}, and the line `{line}` belongs to the {kind} `{other}`; a line is of one kind: \
                 choose an id of another line"
            ),
        }
    }
}
