//! The rules of subscriptions: std and serde only, no I/O, no clock, no randomness.
//!
//! The host asks these functions what to do and then does it; the answers depend on the arguments alone, so
//! every rule is tested here over every case, in seconds. A file holds one rule and reads top-down.

mod criteria;
mod descriptor;
mod failed;
mod failure;
mod filter;
mod filter_index;
mod id;
mod isolation;
mod keep;
mod line;
mod option;
mod pace;
mod parts;
mod presence;
mod quote;
mod refresh;
mod register;
mod retry;
mod retry_change;
mod start;
mod status;

pub use criteria::Criteria;
pub use descriptor::{
    BadDescriptor, CLAUSES_MAX, Consistency, Descriptor, GROUP_BYTES_MAX, Kind, LANES_MAX,
    PARTITION_BYTES_MAX, PATTERNS_MAX, RunMode,
};
pub use failed::{After, Outcome, conflict_class, failed, unavailable_delay_ms};
pub use failure::{ErrorClass, SERIALIZATION_FAILURES_MAX, Verdict};
pub use filter::{BadPattern, Clause, Filter, PATTERN_BYTES_MAX, Pattern};
pub use filter_index::FilterIndex;
pub use id::{BadId, ID_BYTES_MAX, IdFault, Line, SubscriberId, VERSION_MAX};
pub use isolation::{Clue, Isolation};
pub use keep::{Aged, BadKeep, Keep};
pub use line::{LineDuty, LineMember, SwitchWhen, line_duty};
pub use option::{BadOption, KNOWN_OPTIONS, OPTION_BYTES_MAX, OPTIONS_MAX};
pub use pace::{
    BATCH_BYTES_MAX, BATCH_MS, BATCH_STATEMENTS, BOOT_EVENTS_MAX, CHUNK_EVENTS_MAX,
    LARGE_CHUNK_EVENTS, LIVE_EVENTS_MAX, PROCESSOR_CHUNKS_MAX, Pace, Taken, batch_limit,
};
pub use parts::{EventPart, EventParts};
pub use presence::{Chosen, File, Look, choose, has_successor, missing};
pub use refresh::{Kept, Part, Refresh, outdated, refresh, swapped};
pub use register::{LineVersion, Refused, Registration, Stored, register};
pub use retry::{
    RETRY_ATTEMPTS_MAX, RETRY_DELAY_MS_MAX, RETRY_FACTOR_MAX, RETRY_JITTER_PERCENT_MAX, RetryPolicy,
};
pub use retry_change::{BadRetry, RetryChange, RetryPolicies};
pub use start::{Start, start};
pub use status::{Duty, Illegal, Input, Next, Resume, Status};

/// SHA-256 of a module's bytes.
pub type Digest = [u8; 32];
