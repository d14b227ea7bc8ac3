//! What one batch knew of its guest's rows, for the next batch of the lane.

use uuid::Uuid;

use super::Rows;
use crate::store::batch::LaneState;

/// Rows and descriptions of tables, true as long as the checkpoint is where this host left it: whoever else writes the
/// tables, another host or an operator, moves it too.
pub struct KeptRows {
    pub(in crate::store) rows: Rows,
    generation: i32,
    position: i64,
    /// Every row that the batch wrote is among them as the server has it.
    pub(in crate::store) knows_all: bool,
}

impl KeptRows {
    pub(in crate::store) fn new(rows: Rows, generation: i32, position: i64) -> KeptRows {
        KeptRows {
            rows,
            generation,
            position,
            knows_all: false,
        }
    }

    /// Whether they are still true in a batch that begins like this on this host. `passed_to`: up to there this host has
    /// seen nothing that the guest wants, so the checkpoint may have been moved past it.
    pub fn are_true_in(&self, state: &LaneState, host: Uuid, passed_to: i64) -> bool {
        (self.position..=self.position.max(passed_to)).contains(&state.position)
            && (state.generation, state.moved_by) == (self.generation, Some(host))
    }

    /// Where the batch ended that knew them, and the generation that it was of.
    pub fn end(&self) -> (i64, i32) {
        (self.position, self.generation)
    }

    /// What they take, about.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Keeps the descriptions of tables alone.
    pub fn forget_rows(&mut self) {
        self.rows.forget();
        self.knows_all = false;
    }
}
