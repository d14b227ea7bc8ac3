//! The one integration binary: real PostgreSQL, real components. File = behaviour.

mod embedded;
mod support;
