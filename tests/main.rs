//! The one integration binary: real PostgreSQL, real components. File = behaviour.

mod append;
mod bell;
mod by_hand;
mod command_line;
mod embedded;
mod failures;
mod horizon;
mod hostile_writers;
mod import;
mod lifecycle;
mod loan_log;
mod log_rules;
mod modules;
mod operators;
mod processors;
mod reading;
mod reload;
mod rewinding;
mod skipping;
mod statements;
mod support;
mod tidy;
mod verbs;
mod versions;
mod waiting;
