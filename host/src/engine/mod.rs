//! Floor 3: the engine. Follows the log and keeps every subscription where its status says it should be.
//!
//! Start with `batch.rs`, the path of a batch; `lane.rs` decides what a lane does next, `worker.rs` repeats it,
//! `intake.rs` turns files into subscriptions.

mod ahead;
mod batch;
mod carried;
mod catalog;
mod directory;
mod follower;
pub mod horizon_task;
mod host;
mod intake;
mod lane;
mod notice;
mod passing;
mod registration;
mod setup;
mod shared;
mod stepped;
mod switch;
mod tail;
mod watch;
mod worker;

pub use directory::{MARKER, MAX_MODULES};
pub use host::{Error, Host, Options, Watch};
pub use notice::Notice;
pub use stepped::{CaughtUp, Manner, Outcome, StartAt, Stepped};
