//! Hostile guests: each commits one sin beside a subscription that wants to go on with its work, and harms nobody but itself.

mod answers;
mod arena;
mod calls;
mod data;
mod directory;
mod escapes;
mod fuzz;
mod http;
mod limits;
mod loading;
mod mutator;
mod raw;
mod sql;
mod walls;
