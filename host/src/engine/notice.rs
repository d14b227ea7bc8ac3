//! What happens in a host, for whoever shows it to people. Nothing depends on a notice being seen.

use std::time::Duration;

use subscription::{ErrorClass, Status};

use crate::store::Report;

/// The failure that ended a host which was told to end with the first.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{subscription} failed{}: {class}", place(*position, event_type.as_deref()))]
pub struct Thrown {
    pub subscription: String,
    pub class: ErrorClass,
    /// The chain of causes, outermost first.
    pub message: String,
    pub position: Option<i64>,
    pub event_type: Option<String>,
    pub backtrace: Option<String>,
    /// What the guest wrote to its standard output and error.
    pub output: Option<String>,
}

fn place(position: Option<i64>, event_type: Option<&str>) -> String {
    match (position, event_type) {
        (Some(position), Some(event_type)) => format!(" at event {position} ({event_type})"),
        (Some(position), None) => format!(" at event {position}"),
        (None, _) => String::new(),
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A file of the directory holds a subscription that was not known.
    Registered { subscription: String, file: String },
    /// New code under the same id takes over with the next batch.
    Swapped { subscription: String, file: String },
    /// Readers of a line see another version now; without `from`, the first.
    LineSwitched {
        line: String,
        from: Option<String>,
        to: String,
    },
    /// A version has caught up and something is in the way of showing it.
    SwitchHeldUp {
        line: String,
        to: String,
        why: String,
    },
    /// A version was dropped: it was kept for long enough.
    Retired { subscription: String },
    /// A file was refused; the last good module stays.
    Refused { file: String, reason: String },
    /// The directory of modules cannot be looked at, or can again. Until it can, nothing changes.
    Directory { problem: Option<String> },
    /// The status changed by the engine's doing.
    Status {
        subscription: String,
        status: Status,
    },
    /// A guest that runs once is through: what it came to.
    Finished { report: Report },
    /// A batch was committed.
    Committed {
        subscription: String,
        /// Events handed to the guest.
        events: usize,
        position: i64,
        horizon: i64,
        took: Duration,
        /// Not live yet: the batch was part of history.
        booting: bool,
    },
    /// A batch or a setup failed.
    Failed {
        subscription: String,
        class: ErrorClass,
        message: String,
        position: Option<i64>,
        retry_after_ms: Option<u64>,
    },
    /// An event was recorded as skipped.
    Skipped {
        subscription: String,
        position: i64,
        reason: String,
    },
}
