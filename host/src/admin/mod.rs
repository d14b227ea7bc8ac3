//! Floor 3: what operators do. Verbs read and write rows; hosts notice, wherever they run.

mod activate;
mod change;
mod check;
mod error;
pub mod import;
mod intent;
pub mod lines;
pub mod removal;
mod rewind;
pub mod sample;
mod selection;
mod skip;
pub mod status;
mod wait;

pub use activate::{Activated, Activation, activate, await_live};
pub use change::{Change, Done, TeardownFailure};
pub use check::{CheckReport, GuestReport, RefusalReport, check};
pub use error::Error;
pub use intent::{pause, reactivate, retry};
pub use removal::{OnFailure, Removable, Removal, removable};
pub use rewind::{Effects, Rewind, RowsOf, Target};
pub use selection::matching;
pub use skip::{SkippedReport, WholeEvent, skip, skipped, skipped_event};
pub use status::{StatusReport, status};
pub use wait::{Goal, WaitOutcome, WaitReport, Waited, Whom, wait};
