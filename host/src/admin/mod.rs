//! Floor 3: what operators do. Verbs read and write rows; hosts notice, wherever they run.

mod activate;
mod change;
mod check;
pub mod doctor;
mod error;
mod guests;
pub mod import;
mod install;
mod intent;
pub mod lines;
mod modules;
mod refresh;
pub mod removal;
mod replay;
mod rewind;
pub mod sample;
mod selection;
mod skip;
pub mod status;
mod wait;

pub use activate::{Activated, Activation, activate, await_live};
pub use change::{Change, Done, GuestFailure};
pub use check::{CheckReport, GuestReport, RefusalReport, check};
pub use error::Error;
pub use install::{Installed, install};
pub use intent::{pause, reactivate, retry};
pub use modules::{ModuleReport, module, modules, pin};
pub use refresh::refresh;
pub use removal::{OnFailure, Removable, Removal, removable};
pub use replay::{Replay, Replayed};
pub use rewind::{Effects, Rewind, RowsOf, Target};
pub use selection::matching;
pub use skip::{SkippedReport, WholeEvent, skip, skipped, skipped_event};
pub use status::{StatusReport, status};
pub use wait::{Goal, WaitOutcome, WaitReport, Waited, Whom, awaited, wait};
