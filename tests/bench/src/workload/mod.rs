//! The workloads: who takes part, on what, and which ratios come of it.

pub mod accounts;
mod check;
pub mod count;
pub mod import;
pub mod live;
mod modules;
pub mod sql;
