//! What happens in a host, for whoever shows it to people. Nothing depends on a notice being seen.

use std::time::Duration;

use subscription::{ErrorClass, Status};

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
    /// A file was refused; the last good module stays.
    Refused { file: String, reason: String },
    /// The directory of modules cannot be looked at, or can again. Until it can, nothing changes.
    Directory { problem: Option<String> },
    /// The status changed by the engine's doing.
    Status {
        subscription: String,
        status: Status,
    },
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
