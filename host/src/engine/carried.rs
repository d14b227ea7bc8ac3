//! What one batch of a lane leaves for the next. All of it can be lost: the log and the tables know better.

use std::sync::Arc;

use subscription::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ahead::Ahead;
use super::ending::Ending;
use crate::store::KeptRows;

/// KiB of rows that a host keeps between batches, those of all lanes together.
pub(super) const KEPT_ROWS_KIB: usize = 128 * 1024;

/// Bytes of rows that a lane keeps while it follows the head: there are many such lanes, and most have nothing to do.
const LIVE_ROWS_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Carried {
    /// The events after those of the last batch.
    pub ahead: Option<Ahead>,
    /// The last batch, if it is not committed yet.
    pub ending: Option<Ending>,
    /// What the last batch knew of rows.
    pub rows: Option<KeptRows>,
    /// Up to here nothing came that the guest wants, since the last batch.
    pub passed_to: i64,
    /// An attempt has failed since the last commit in which not each answer to its guest came in its turn: now it does.
    pub answers_in_turn: bool,
    /// The room that they take.
    room: Option<OwnedSemaphorePermit>,
}

impl Carried {
    /// Keeps rows as far as there is room for them, and the descriptions of their tables.
    pub fn keep(&mut self, mut rows: KeptRows, status: Status, room: &Arc<Semaphore>) {
        self.room = None;
        self.answers_in_turn = false;
        let kib = u32::try_from(rows.bytes().div_ceil(1024)).unwrap_or(u32::MAX);
        let too_many = status == Status::Active && rows.bytes() > LIVE_ROWS_BYTES;
        self.room = if too_many {
            None
        } else {
            Arc::clone(room).try_acquire_many_owned(kib).ok()
        };
        if self.room.is_none() {
            rows.forget_rows();
        }
        self.rows = Some(rows);
    }

    pub fn forget(&mut self) {
        *self = Carried::default();
    }
}
