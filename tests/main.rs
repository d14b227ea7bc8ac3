//! The one integration binary: real PostgreSQL, real components. File = behaviour.

mod append;
mod command_line;
mod embedded;
mod import;
mod log_rules;
mod modules;
mod reading;
mod reload;
mod support;
