//! Places at which a test lets a host die: the process is killed there, as by `kill -9`, when the environment says so.
//!
//! Only in builds with debug assertions; elsewhere a failpoint is nothing.

use std::sync::OnceLock;

/// Names the failpoint at which this process dies.
pub const FAILPOINT_VARIABLE: &str = "PROJECTIONIST_FAILPOINT";

/// Every step on the way from a new file to a switched line, in the order in which a host takes them.
pub const FAILPOINTS: [&str; 15] = [
    "module-kept",
    "version-registering",
    "version-registered",
    "version-setting-up",
    "version-set-up",
    "version-caught-up",
    "handover-begun",
    "handover-confirmed",
    "switch-begun",
    "switch-lanes-locked",
    "switch-views-pointed",
    "switch-committing",
    "switch-committed",
    "retire-committing",
    "retire-committed",
];

/// The steps of any batch.
pub const BATCH_FAILPOINTS: [&str; 3] = ["batch-opened", "batch-handled", "batch-committed"];

/// The steps of an operator's `rewind` of what is at work.
pub const REWIND_FAILPOINTS: [&str; 2] = ["rewind-quiet", "rewind-committed"];

/// Dies here if this is the place.
pub fn failpoint(name: &'static str) {
    debug_assert!(
        FAILPOINTS.contains(&name)
            || BATCH_FAILPOINTS.contains(&name)
            || REWIND_FAILPOINTS.contains(&name),
        "{name} is not listed"
    );
    if cfg!(debug_assertions) && wanted() == Some(name) {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

fn wanted() -> Option<&'static str> {
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    WANTED
        .get_or_init(|| std::env::var(FAILPOINT_VARIABLE).ok())
        .as_deref()
}
