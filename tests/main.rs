//! The one integration binary: real PostgreSQL, real components. File = behaviour.

mod bell;
mod embedded;
mod horizon;
mod hostile_writers;
mod support;
