//! Floor 3: what a host does.

pub mod horizon_task;
