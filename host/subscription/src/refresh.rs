//! What `refresh` takes over from what a guest says now. New code under the same id changes the rest at once.
//!
//! Three things wait for an operator: the group, since his scripts name it; a processor's filter, since events before the
//! checkpoint are not delivered any more; and a run mode, which says where a subscription begins.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quote::cut;
use crate::{Descriptor, Kind, Status};

/// One thing that waits for `refresh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Group,
    Filter,
    RunMode,
}

/// What a refresh comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// What is stored after it.
    pub descriptor: Descriptor,
    pub taken: Vec<Part>,
    pub kept: Vec<Kept>,
}

/// Something that the rules do not let a refresh take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub part: Part,
    /// What is stored, what the guest says, why it stays, and what to do instead.
    pub why: String,
}

/// What is stored when new code takes over: all that it says but what waits for [`refresh`].
pub fn swapped(stored: &Descriptor, said: &Descriptor) -> Descriptor {
    Descriptor {
        group: stored.group.clone(),
        filter: stored.filter.clone(),
        run_mode: stored.run_mode,
        ..said.clone()
    }
}

/// The parts in which a guest says something else than is stored.
pub fn outdated(stored: &Descriptor, said: &Descriptor) -> Vec<Part> {
    let differs = [
        (Part::Group, stored.group != said.group),
        (
            Part::Filter,
            stored.filter.canonical() != said.filter.canonical(),
        ),
        (Part::RunMode, stored.run_mode != said.run_mode),
    ];
    let differing = differs.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(part, _)| part).collect()
}

/// Takes over what `said` has otherwise, where the rules allow it: a group always, a filter for processors, a run mode while
/// the subscription is New.
pub fn refresh(status: Status, stored: &Descriptor, said: &Descriptor) -> Refresh {
    let mut result = Refresh {
        descriptor: stored.clone(),
        taken: Vec::new(),
        kept: Vec::new(),
    };
    for part in outdated(stored, said) {
        let descriptor = &mut result.descriptor;
        let why = match part {
            Part::Group => {
                descriptor.group.clone_from(&said.group);
                None
            }
            Part::Filter if stored.kind == Kind::Processor => {
                descriptor.filter.clone_from(&said.filter);
                None
            }
            Part::Filter => Some(format!(
                "it has been built from {}, and its guest wants {} now; its tables would not fit its history: bump the id",
                cut(&stored.filter.to_string()),
                cut(&said.filter.to_string())
            )),
            Part::RunMode if status == Status::New => {
                descriptor.run_mode = said.run_mode;
                None
            }
            Part::RunMode => Some(format!(
                "it runs `{}`, and its guest wants `{}` now; it is {status}, so it has begun: bump the id, or remove it while its file \
                 is in the directory",
                stored.run_mode, said.run_mode
            )),
        };
        match why {
            None => result.taken.push(part),
            Some(why) => result.kept.push(Kept { part, why }),
        }
    }
    result
}

impl Part {
    /// The name as programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Group => "group",
            Part::Filter => "filter",
            Part::RunMode => "run-mode",
        }
    }

    /// What a descriptor says about it, for people.
    pub fn of(self, descriptor: &Descriptor) -> String {
        match self {
            Part::Group => format!("the group `{}`", descriptor.group),
            Part::Filter => format!("the filter {}", cut(&descriptor.filter.to_string())),
            Part::RunMode => format!("the run mode `{}`", descriptor.run_mode),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
