//! Where a handler's arguments come from.

use crate::failure::Result;
use crate::fold::Chunk;
use crate::message::Message;
use crate::parts::Parts;

/// An argument that a handler can ask for by its type. `S` says where the handler is called: [`Projection`] or
/// [`Reaction`] for an event in a projector or processor, [`ChunkEnd`], or [`Setup`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no argument for this handler",
    note = "a handler of events may take Event<T>, Message, StreamId, RecordedAt, Metadata, Position, Context, Table<T>, \
            Sql, Fold<T>, Reader and Config; in a processor also Append and Http",
    note = "setup and teardown may take Sql, Table<T> and Config; after_chunk also Fold<T>; on_failure what needs no batch, and \
            FailedAttempt"
)]
pub trait Extract<S>: Sized {
    /// What it looks at of the event in hand. Whatever no handler looks at, the host leaves empty.
    const PARTS: Parts = Parts::ALL;

    /// Takes the argument from its source.
    ///
    /// # Errors
    /// It is not there or has another shape; the handler is then not called.
    fn extract(source: &S) -> Result<Self>;
}

/// Somewhere with an event in hand.
pub trait WithEvent {
    /// The event in hand.
    fn message(&self) -> &Message;
}

/// Somewhere inside a batch, where tables can be read and written.
pub trait InBatch {}

/// An event that is being handled.
pub trait Delivery: InChunk + WithEvent {
    /// An event in hand.
    fn new(message: Message, chunk: Chunk) -> Self;
}

/// Somewhere inside a call of `handle`.
pub trait InChunk: InBatch {
    /// What the handlers of this call share.
    fn chunk(&self) -> &Chunk;
}

/// An event in a projector.
#[derive(Debug)]
pub struct Projection(Message, Chunk);

/// An event in a processor.
#[derive(Debug)]
pub struct Reaction(Message, Chunk);

/// The end of one call of `handle`.
#[derive(Debug)]
pub struct ChunkEnd(pub(crate) Chunk);

/// `setup` and `teardown`, where there is no event.
#[derive(Debug)]
pub struct Setup(pub(crate) ());

impl InBatch for Projection {}
impl InBatch for Reaction {}
impl InBatch for ChunkEnd {}
impl InBatch for Setup {}

impl InChunk for Projection {
    fn chunk(&self) -> &Chunk {
        &self.1
    }
}

impl Delivery for Projection {
    fn new(message: Message, chunk: Chunk) -> Self {
        Projection(message, chunk)
    }
}

impl WithEvent for Projection {
    fn message(&self) -> &Message {
        &self.0
    }
}

impl InChunk for Reaction {
    fn chunk(&self) -> &Chunk {
        &self.1
    }
}

impl Delivery for Reaction {
    fn new(message: Message, chunk: Chunk) -> Self {
        Reaction(message, chunk)
    }
}

impl WithEvent for Reaction {
    fn message(&self) -> &Message {
        &self.0
    }
}

impl InChunk for ChunkEnd {
    fn chunk(&self) -> &Chunk {
        &self.0
    }
}
