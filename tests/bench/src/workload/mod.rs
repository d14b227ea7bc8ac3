//! The workloads: who takes part, on what, and which ratios come of it.

pub mod accounts;
pub mod append;
mod check;
pub mod count;
pub mod fan_out;
pub mod growth;
pub mod idle;
pub mod import;
pub mod live;
mod modules;
pub mod peers;
pub mod reload;
pub mod sql;
mod turns;
mod wait;
