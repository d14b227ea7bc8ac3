//! The one integration binary: real PostgreSQL, real components. File = behaviour.

mod embedded;
mod operators;
mod support;
mod verbs;
