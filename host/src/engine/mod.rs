//! Floor 3: the engine. Follows the log and keeps every subscription where its status says it should be.
//!
//! Start with `batch.rs`, the path of a batch; `lane.rs` decides what a lane does next, `judgement.rs` what follows
//! from a failure, `worker.rs` repeats it all, `intake.rs` turns files into subscriptions.

mod ahead;
mod batch;
mod call;
mod carried;
mod catalog;
mod directory;
mod ending;
mod follower;
mod frozen;
mod handed;
mod handled;
pub mod horizon_task;
mod host;
mod intake;
mod judgement;
mod lane;
mod notice;
mod parked;
mod passing;
mod ready;
mod registration;
mod regular;
mod resting;
mod retire;
mod revisions;
mod setup;
mod shared;
mod stepped;
mod switch;
mod tail;
mod turns;
mod watch;
mod worker;

pub use crate::guest::limits::MAX_MODULES;
pub use directory::MARKER;
pub use frozen::STUCK_TIMES_VARIABLE;
pub use host::{Error, Host, OnFailure, Options, Watch};
pub use notice::{Notice, Thrown};
pub use stepped::{CaughtUp, Manner, Outcome, StartAt, Stepped};
pub use watch::sees_changes;
