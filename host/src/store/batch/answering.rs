//! Statements that are answered before the server has run them.
//!
//! Where it is known how many rows a statement touches unless it fails, its guest need not wait: it goes on with the next events while the
//! server works. What it asks for next waits for that, and so does the end of the batch. If anything fails in such a batch, the guest may have
//! gone on from what was not so. Then nothing of it counts, and the batch is done again with each answer in its turn: neither a guest nor who
//! looks for the event that is to blame sees a difference.

use tokio::task::JoinSet;

use super::{Batch, at_hand, bounded};
use crate::store::GuestError;
use crate::store::leased::Leased;
use crate::store::many::Work;
use crate::store::value::Value;

/// What is under way although it has been answered: one statement at most, with the connection that it runs on. It is given up when this is
/// dropped.
#[derive(Default)]
pub(super) struct Behind {
    /// Whether anything may be.
    pub is_allowed: bool,
    /// Whether anything was.
    pub has_been: bool,
    running: JoinSet<(Leased, Result<u64, GuestError>)>,
}

impl Behind {
    pub fn is_running(&self) -> bool {
        !self.running.is_empty()
    }
}

impl Batch {
    /// Runs one statement once for each list of parameters.
    pub async fn execute_many(
        &mut self,
        sql: &str,
        lists: &[Vec<Value>],
    ) -> Result<u64, GuestError> {
        if let [parameters] = lists {
            return self.execute(sql, parameters).await;
        }
        self.admit_statement(sql).await?;
        // What can be made ready is, while the server may still be at work.
        let ready = Work::of_known(&self.known, sql, lists);
        let ready = self.after(ready)?;
        self.before_admitted().await?;
        let patience = self.patience();
        let work = match ready {
            Some(work) => work,
            None => {
                let connection = at_hand(&mut self.connection);
                let work = Work::of(connection, &mut self.known, sql, lists);
                let work = bounded(patience, work).await;
                self.after(work.map_err(GuestError::of_the_guest))?
            }
        };
        if let Some(affected) = work.affects()
            && self.behind.is_allowed
        {
            self.run_behind(work);
            // It begins on this thread, before the guest goes on here.
            tokio::task::yield_now().await;
            return Ok(affected);
        }
        self.busy = true;
        let result = bounded(patience, work.run(self.connection())).await;
        self.after(result.map_err(GuestError::of_the_guest))
    }

    /// From now on statements may be answered early. For guests without effects, whose batch can be done again as if nothing had been.
    pub fn answer_early(&mut self) {
        self.behind.is_allowed = true;
    }

    /// Whether a statement was answered early.
    pub fn has_answered_early(&self) -> bool {
        self.behind.has_been
    }

    /// Begins what has an answer already.
    fn run_behind(&mut self, work: Work) {
        let patience = self.patience();
        let leased = self.connection.take();
        let mut leased = leased.expect("the connection is there until the batch ends");
        self.behind.has_been = true;
        self.behind.running.spawn(async move {
            let result = bounded(patience, work.run(leased.get())).await;
            (leased, result)
        });
    }

    /// Waits for what is under way behind its answer.
    pub(super) async fn catch_up(&mut self) -> Result<(), GuestError> {
        let Some(ended) = self.behind.running.join_next().await else {
            return Ok(());
        };
        match ended {
            Ok((leased, result)) => {
                self.connection = Some(leased);
                self.after(result.map(drop).map_err(GuestError::of_the_guest))
            }
            // It is ended from here alone, and then nobody waits.
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}
