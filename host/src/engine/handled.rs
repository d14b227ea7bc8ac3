//! A batch that its guest is done with, for good or ill.

use std::time::Instant;

use super::batch::Done;
use super::carried::Carried;
use super::handed::Handed;
use crate::guest::{Failure, Instance, Said};
use crate::store::{Batch, GuestError, KeptRows, LaneState, NewReport};

/// A batch that the guest is done with.
pub(super) struct Handled {
    pub held: Held,
    pub events: Handed,
    pub up_to: i64,
    pub retry_context: Option<String>,
    pub said: Said,
}

/// Who has the batch.
pub(super) enum Held {
    /// There were no events.
    Nobody(Box<Batch>),
    Instance(Box<Instance>),
}

impl Handled {
    /// Gives the rows to the next batch, if this one can go into the database without them.
    pub fn part_with_rows(&mut self) -> Option<KeptRows> {
        match &mut self.held {
            Held::Nobody(_) => None,
            Held::Instance(instance) => instance.part_with_rows(self.up_to),
        }
    }

    /// Writes what the guest left to be written.
    pub async fn write_out(self) -> Result<Written, Broken> {
        let (batch, spent) = match self.held {
            Held::Nobody(batch) => (batch, None),
            Held::Instance(mut instance) => match instance.write_out().await {
                Ok(batch) => (batch, Some(instance)),
                Err(failure) => {
                    return Err(Broken {
                        answered_early: instance.answered_early(),
                        ..Broken::at_the_end(failure, self.events)
                    });
                }
            },
        };
        Ok(Written {
            batch,
            events: self.events,
            up_to: self.up_to,
            retry_context: self.retry_context,
            said: self.said,
            spent,
        })
    }
}

/// A batch that is to be committed.
pub(super) struct Written {
    pub batch: Box<Batch>,
    pub events: Handed,
    pub up_to: i64,
    pub retry_context: Option<String>,
    said: Said,
    /// To be dropped after the commit.
    pub spent: Option<Box<Instance>>,
}

impl Written {
    /// What an operator wants to know of a guest that runs once.
    pub fn report(&self, began: Instant) -> NewReport {
        NewReport {
            to_position: self.up_to,
            events: self.events.len(),
            log_lines: self.said.lines,
            last_lines: self.said.last.iter().cloned().collect(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// An attempt that failed.
pub(super) struct Broken {
    pub failure: Box<Failure>,
    pub events: Handed,
    /// Events before the chunk that failed.
    pub before_chunk: u32,
    /// Whether the guest had answers before its statements were run.
    pub answered_early: bool,
}

impl Broken {
    /// For no event in particular.
    pub fn at_the_end(failure: Box<Failure>, events: Handed) -> Broken {
        Broken {
            failure,
            events,
            before_chunk: 0,
            answered_early: false,
        }
    }

    /// What the database refused to commit.
    pub fn at_the_commit(
        error: &GuestError,
        retry_context: Option<String>,
        events: Handed,
    ) -> Broken {
        Broken::at_the_end(Failure::of_refused_commit(error, retry_context), events)
    }

    /// The failed batch, and whether its guest went by what may not have been so: the batch `is_presumed`, or answers came early.
    pub fn into_failed(self, state: LaneState, is_presumed: bool) -> (FailedBatch, bool) {
        let is_in_doubt = is_presumed || self.answered_early;
        let failed = FailedBatch {
            failure: self.failure,
            state,
            events: self.events,
            before_chunk: self.before_chunk,
        };
        (failed, is_in_doubt)
    }
}

/// A failure with what is needed to find the culprit and to write it down.
pub(super) struct FailedBatch {
    pub failure: Box<Failure>,
    pub state: LaneState,
    /// The events of the attempt.
    pub events: Handed,
    /// Events before the chunk that failed: the guest's count begins there.
    pub before_chunk: u32,
}

impl FailedBatch {
    /// Counts only where the guest went by nothing that may not have been so.
    pub fn ended(self, is_in_doubt: bool, carried: &mut Carried) -> Done {
        // Once they do, until something is committed: a conflict is tried again at once.
        let answers_in_turn = carried.answers_in_turn || is_in_doubt;
        carried.forget();
        carried.answers_in_turn = answers_in_turn;
        match is_in_doubt {
            true => Done::Doubted,
            false => Done::Failed(Box::new(self)),
        }
    }
}
