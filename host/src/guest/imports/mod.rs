//! The host's side of the guest interface: one file a capability.

mod append;
mod chunk;
mod context;
mod convert;
mod handed;
mod log;
mod reader;
mod rows;
mod size;
mod sql;

use super::bindings::projectionist;
use super::state::State;

pub(super) use chunk::Chunk;
pub(super) use convert::{descriptor_from_guest, event_to_guest};
pub(super) use handed::{Event as HandedEvent, Ids, hand};

// The interfaces that hold types alone have no functions to answer.
impl projectionist::events::types::Host for State {}
impl projectionist::guest::types::Host for State {}
impl projectionist::sql::types::Host for State {}
