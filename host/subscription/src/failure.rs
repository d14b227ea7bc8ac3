//! What went wrong, in the classes that an error row keeps, and what the guest wants done about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Serialization failures and deadlocks in a row; the last of them is `sql`.
pub const SERIALIZATION_FAILURES_MAX: u32 = 10;

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// The guest said so.
    GuestFailed,
    /// The guest's code broke down: a panic, an unreachable, a stack overflow.
    Trap,
    /// A call took longer than its limit.
    Deadline,
    /// The guest wanted more memory than its limit.
    Memory,
    /// A statement of the guest failed.
    Sql,
    /// An event that cannot be handed over, such as a too large one in a foreign log.
    BadEvent,
    /// Positions did not rise.
    OutOfOrder,
    /// The database is gone, or resolved a conflict against us: nobody's fault.
    Unavailable,
    /// The module no longer fits: its interface, its settings or its tables.
    Incompatible,
}

impl ErrorClass {
    /// Every class.
    pub const fn all() -> [ErrorClass; 9] {
        use ErrorClass as C;
        [
            C::GuestFailed,
            C::Trap,
            C::Deadline,
            C::Memory,
            C::Sql,
            C::BadEvent,
            C::OutOfOrder,
            C::Unavailable,
            C::Incompatible,
        ]
    }

    /// The name as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::GuestFailed => "guest-failed",
            ErrorClass::Trap => "trap",
            ErrorClass::Deadline => "deadline",
            ErrorClass::Memory => "memory",
            ErrorClass::Sql => "sql",
            ErrorClass::BadEvent => "bad-event",
            ErrorClass::OutOfOrder => "out-of-order",
            ErrorClass::Unavailable => "unavailable",
            ErrorClass::Incompatible => "incompatible",
        }
    }

    /// The class of that name.
    pub fn parse(text: &str) -> Option<ErrorClass> {
        ErrorClass::all()
            .into_iter()
            .find(|class| class.as_str() == text)
    }

    /// Whether a failure of this class counts towards giving up. Only `unavailable` does not: a restarting
    /// database must not stop a single subscription.
    pub fn costs_attempt(self) -> bool {
        self != ErrorClass::Unavailable
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What is to be done about the event that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same event again, after at least so many milliseconds; 0 leaves the delay to the policy.
    Retry { after_ms: u64 },
    /// Record the event as skipped and go on after it.
    Skip,
    /// Stop until an operator acts.
    Stop,
}

impl Default for Verdict {
    /// What holds for a guest that says nothing: retry by the policy, then stop.
    fn default() -> Verdict {
        Verdict::Retry { after_ms: 0 }
    }
}
