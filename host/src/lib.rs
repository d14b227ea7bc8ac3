//! Projectionist as a library: an event log in PostgreSQL, and projectors and processors that are WebAssembly components.

pub mod admin;
pub mod cli;
pub mod embedded;
pub mod engine;
pub mod guest;
pub mod store;
