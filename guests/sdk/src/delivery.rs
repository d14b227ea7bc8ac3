//! One call of `handle`: each event to its handlers, and how far it got.

use crate::bindings::projectionist::events::types::{Chunk as WireChunk, Event};
use crate::bindings::projectionist::guest::types::Failure as WireFailure;
use crate::extract::{ChunkEnd, Delivery};
use crate::failure::Result;
use crate::filter::matches;
use crate::fold::Chunk;
use crate::in_hand;
use crate::message::Message;
use crate::subscriber::Subscriber;

impl<S: Delivery + 'static> Subscriber<S> {
    /// Handles the events of one call, in their order.
    ///
    /// # Errors
    /// A handler failed; what it says to do goes for the event after the `handled` ones.
    ///
    /// # Panics
    /// What runs [`after_chunk`](Self::after_chunk) failed, or the host refuses a row, for several events at once. Nobody knows which of them it was,
    /// and a trap makes the host look for it; with one event in the call it is a failure like any other.
    pub fn handle(&self, events: Vec<Event>) -> Result<(), WireFailure> {
        self.handle_all(events.into_iter().map(Message::from))
    }

    /// The same for events that come part by part.
    ///
    /// # Errors
    /// As those of [`handle`](Self::handle).
    ///
    /// # Panics
    /// As [`handle`](Self::handle).
    pub fn handle_chunk(&self, events: WireChunk) -> Result<(), WireFailure> {
        self.handle_all(Message::all_of(events))
    }

    fn handle_all(&self, messages: impl Iterator<Item = Message>) -> Result<(), WireFailure> {
        let chunk = Chunk::default();
        let deliveries: Vec<S> = messages
            .map(|message| S::new(message, chunk.clone()))
            .collect();
        // Where it fails, the host gives up what was changed, and so does this.
        self.deliver_all(&deliveries, chunk)
            .inspect_err(|_| in_hand::forget())
    }

    fn deliver_all(&self, deliveries: &[S], chunk: Chunk) -> Result<(), WireFailure> {
        if deliveries.len() > 1 {
            self.prefetches
                .iter()
                .try_for_each(|prefetch| prefetch(deliveries))
                .map_err(|failure| failure.into_wire(0))?;
        }
        for (delivery, handled) in deliveries.iter().zip(0..) {
            self.deliver(delivery)
                .map_err(|failure| failure.into_wire(handled))?;
        }
        match self.end_chunk(chunk) {
            Err(failure) if deliveries.len() > 1 => {
                panic!("after a chunk of {} events: {failure}", deliveries.len())
            }
            end => end.map_err(|failure| failure.into_wire(0)),
        }
    }

    fn deliver(&self, delivery: &S) -> Result {
        let event_type = delivery.message().event_type();
        let handlers = self
            .handlers
            .iter()
            .filter(|(pattern, _)| matches(pattern, event_type))
            .map(|(_, call)| call);
        handlers
            .chain(&self.wildcards)
            .try_for_each(|call| call(delivery))
    }

    fn end_chunk(&self, chunk: Chunk) -> Result {
        let end = ChunkEnd(chunk);
        self.chunk_ends.iter().try_for_each(|call| call(&end))?;
        in_hand::end_chunk()
    }
}
