//! The statuses of a subscription and the only way to change them: [`Status::on`].
//!
//! The table is DESIGN.md section 4. What patchlevel's engine does differently is on purpose: pausing
//! remembers Booting, Detached is reached from every status, and giving up is Error without a due retry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RunMode;

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Known; its setup has not run.
    New,
    /// Reads history and has not been at the horizon yet.
    Booting,
    /// Follows the log.
    Active,
    /// Run mode `once` and done.
    Finished,
    /// Stopped by an operator.
    Paused(Resume),
    /// Stopped by a failure; a retry may be due later.
    Error(Resume),
    /// Its guest is gone, or a later version of its line took over.
    Detached(Resume),
}

/// Where a stopped subscription goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resume {
    New,
    Booting,
    Active,
}

/// What happens to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Its setup ran without an error.
    SetUp,
    /// Its setup ran without an error, and an operator wants it to follow at once instead of booting.
    SkipBoot,
    /// It reached the horizon it was reading to.
    CaughtUp,
    /// Setup or a batch failed, at a cost: see [`crate::failed`].
    Failed,
    /// The time of the next attempt has come.
    RetryDue,
    /// Other bytes under the same id; the caller also resets the retry counter.
    NewCode,
    /// An operator stops it.
    Pause,
    /// An operator lets it go on; the caller also resets the retry counter.
    Reactivate,
    /// No directory of a live host holds its file any more: see [`crate::missing`].
    GuestMissing,
    /// A later version of its line went live.
    Superseded,
    /// An operator sent it back; it starts a new generation.
    Rewound,
    /// An operator removes it, with its tables.
    Remove,
}

/// What an input leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// The subscription has this status now.
    Status(Status),
    /// The subscription is no more.
    Gone,
}

/// What a host owes a subscription. It follows from the status alone, so a crash leaves nothing pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Duty {
    /// Run its setup.
    SetUp,
    /// Read events and handle them.
    Process,
    /// Look whether a retry is due, else leave it.
    AwaitRetry,
    /// Nothing.
    Rest,
}

impl Status {
    /// The status after `input`; `mode` decides only where setup and catching up lead.
    ///
    /// # Errors
    /// [`Illegal`] for a pair that the table does not allow: the caller acted on a status that is no longer
    /// true, or a person asked for something that makes no sense here.
    pub fn on(self, input: Input, mode: RunMode) -> Result<Next, Illegal> {
        use Status::{Active, Booting, Detached, Error, Finished, New, Paused};
        let status = match (self, input) {
            (_, Input::Remove) => return Ok(Next::Gone),

            (New, Input::SetUp) if mode == RunMode::FromNow => Active,
            (New, Input::SetUp) => Booting,
            (New, Input::SkipBoot) => Active,
            (Booting | Active, Input::CaughtUp) if mode == RunMode::Once => Finished,
            (Booting | Active, Input::CaughtUp) => Active,

            (New | Booting | Active, Input::Failed) => Error(self.point()),
            (Error(resume), Input::RetryDue | Input::NewCode) => resume.into(),
            (_, Input::RetryDue | Input::NewCode) => self,

            (Booting | Active | Error(_), Input::Pause) => Paused(self.point()),
            (Finished | Paused(_) | Error(_) | Detached(_), Input::Reactivate) => {
                self.point().into()
            }
            (_, Input::GuestMissing | Input::Superseded) => Detached(self.point()),

            // What has not been set up has nothing to go back to, and Booting would be without tables.
            (Paused(Resume::New) | Error(Resume::New), Input::Rewound) => {
                return Err(Illegal {
                    status: self,
                    input,
                });
            }
            (Booting | Active | Finished | Error(_), Input::Rewound) => Booting,
            (Paused(_), Input::Rewound) => Paused(Resume::Booting),

            _ => {
                return Err(Illegal {
                    status: self,
                    input,
                });
            }
        };
        Ok(Next::Status(status))
    }

    /// Whether any input leads from here to `to`: what can be held against a row, which shows statuses and no inputs.
    /// PostgreSQL refuses every other change, by a table that is made of this.
    pub fn may_become(self, to: Status, mode: RunMode) -> bool {
        let leads = |input: Input| self.on(input, mode) == Ok(Next::Status(to));
        Input::all().into_iter().any(leads)
    }

    /// What a host owes a subscription with this status.
    pub fn duty(self) -> Duty {
        match self {
            Status::New => Duty::SetUp,
            Status::Booting | Status::Active => Duty::Process,
            Status::Error(_) => Duty::AwaitRetry,
            Status::Finished | Status::Paused(_) | Status::Detached(_) => Duty::Rest,
        }
    }

    /// The name without the place to resume: `New`, `Paused`. It is stored, so it never changes.
    pub fn name(self) -> &'static str {
        match self {
            Status::New => "New",
            Status::Booting => "Booting",
            Status::Active => "Active",
            Status::Finished => "Finished",
            Status::Paused(_) => "Paused",
            Status::Error(_) => "Error",
            Status::Detached(_) => "Detached",
        }
    }

    /// Where a stopped subscription goes on; `None` for the statuses that are not stops.
    pub fn resume(self) -> Option<Resume> {
        match self {
            Status::Paused(resume) | Status::Error(resume) | Status::Detached(resume) => {
                Some(resume)
            }
            Status::New | Status::Booting | Status::Active | Status::Finished => None,
        }
    }

    /// The status that [`Status::name`] and the name of [`Status::resume`] came from; `None` for any other pair.
    pub fn from_parts(name: &str, resume: Option<&str>) -> Option<Status> {
        Status::all()
            .into_iter()
            .find(|status| status.name() == name && status.resume().map(Resume::name) == resume)
    }

    /// Every status.
    pub const fn all() -> [Status; 13] {
        use Resume as R;
        [
            Status::New,
            Status::Booting,
            Status::Active,
            Status::Finished,
            Status::Paused(R::New),
            Status::Paused(R::Booting),
            Status::Paused(R::Active),
            Status::Error(R::New),
            Status::Error(R::Booting),
            Status::Error(R::Active),
            Status::Detached(R::New),
            Status::Detached(R::Booting),
            Status::Detached(R::Active),
        ]
    }

    /// Where it goes on if it is stopped now.
    fn point(self) -> Resume {
        match self {
            Status::New => Resume::New,
            Status::Booting => Resume::Booting,
            Status::Active | Status::Finished => Resume::Active,
            Status::Paused(resume) | Status::Error(resume) | Status::Detached(resume) => resume,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resume() {
            Some(resume) => write!(formatter, "{}({})", self.name(), resume.name()),
            None => formatter.write_str(self.name()),
        }
    }
}

impl Resume {
    /// The name as it is stored.
    pub fn name(self) -> &'static str {
        Status::from(self).name()
    }
}

impl From<Resume> for Status {
    fn from(resume: Resume) -> Status {
        match resume {
            Resume::New => Status::New,
            Resume::Booting => Status::Booting,
            Resume::Active => Status::Active,
        }
    }
}

impl Input {
    /// Every input.
    pub const fn all() -> [Input; 12] {
        [
            Input::SetUp,
            Input::SkipBoot,
            Input::CaughtUp,
            Input::Failed,
            Input::RetryDue,
            Input::NewCode,
            Input::Pause,
            Input::Reactivate,
            Input::GuestMissing,
            Input::Superseded,
            Input::Rewound,
            Input::Remove,
        ]
    }
}

/// A pair of status and input that the table does not allow.
///
/// It does not know whose status it is: the caller puts the subscriber id before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Illegal {
    pub status: Status,
    pub input: Input,
}

impl std::error::Error for Illegal {}

impl fmt::Display for Illegal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.input {
            Input::SetUp => "be set up",
            Input::SkipBoot => "skip booting",
            Input::CaughtUp => "catch up",
            Input::Failed => "fail",
            Input::RetryDue => "be retried",
            Input::NewCode => "take new code",
            Input::Pause => "be paused",
            Input::Reactivate => "be reactivated",
            Input::GuestMissing => "lose its guest",
            Input::Superseded => "be superseded",
            Input::Rewound => "be rewound",
            Input::Remove => "be removed",
        };
        write!(
            formatter,
            "a subscription that is {} cannot {verb}: {}",
            self.status,
            self.advice()
        )
    }
}

impl Illegal {
    /// Why not, and what to do instead.
    fn advice(self) -> &'static str {
        match (self.input, self.status) {
            (Input::SetUp | Input::SkipBoot, status) if status.resume() == Some(Resume::New) => {
                "its setup is still to run; reactivate it first"
            }
            (Input::SetUp | Input::SkipBoot, _) => {
                "only a New one can; to build it anew, remove it while its file is in the directory"
            }
            (Input::Pause, Status::New) => {
                "it has handled nothing yet; let its setup run first, or take its file out of the directory"
            }
            (Input::Pause, Status::Paused(_)) => "it already is; reactivate it to let it go on",
            (Input::Pause, _) => {
                "it handles no events; reactivate it first if it should go on later"
            }
            (Input::Reactivate, Status::New) => "nothing stopped it; it is waiting for its setup",
            (Input::Reactivate, _) => "nothing stopped it; it is already at work",
            (
                Input::Rewound,
                Status::New | Status::Paused(Resume::New) | Status::Error(Resume::New),
            ) => "it has handled nothing yet; it starts from its run mode anyway",
            (Input::Rewound, _) => "its guest is gone or superseded; reactivate it first",
            _ => "only one that is at work can; its status was changed meanwhile, so read it again",
        }
    }
}
