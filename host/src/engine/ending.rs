//! A batch on its way into the database, while its lane works on the next one.

use subscription::Status;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::handled::{Broken, FailedBatch, Handled};
use crate::guest::Instance;
use crate::store::{Change, Error, LaneState, Outcome, failpoint};

/// When this is dropped, the batch is given up, unless it is committed already.
pub(super) struct Ending {
    /// One task.
    writing: JoinSet<Result<Ended, Error>>,
    committed: Option<oneshot::Receiver<()>>,
    pub events: usize,
    /// The checkpoint that it brings.
    pub position: i64,
    pub status: Status,
}

/// What became of it.
pub(super) enum Ended {
    Committed,
    /// Somebody else has worked on the lane.
    Overtaken,
    /// The failure, and whether its guest went by what may not have been so.
    Failed(Box<FailedBatch>, bool),
}

impl Ending {
    /// Writes what the guest left, and commits. `is_in_doubt`: it presumed that the one before would be committed.
    pub fn begin(handled: Handled, state: LaneState, host: Uuid, is_in_doubt: bool) -> Ending {
        let (events, position) = (handled.events.len(), handled.up_to);
        let status = state.status;
        let (tell, committed) = oneshot::channel();
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            let (ended, spent) = end(handled, state, host, is_in_doubt).await?;
            if matches!(ended, Ended::Committed) {
                // Nobody follows: that is all the same.
                let _ = tell.send(());
            }
            // Who follows goes on at once, perhaps on this thread.
            tokio::task::yield_now().await;
            drop(spent);
            Ok(ended)
        });
        Ending {
            writing,
            committed: Some(committed),
            events,
            position,
            status,
        }
    }

    /// Hears when it is committed; is dropped if that never happens. There is one who follows.
    pub fn committed(&mut self) -> Option<oneshot::Receiver<()>> {
        self.committed.take()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<Ended, Error> {
        match self.writing.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(ended)) => std::panic::resume_unwind(ended.into_panic()),
            // It has been waited for.
            None => Ok(Ended::Overtaken),
        }
    }
}

/// What became of it, and an instance that takes a moment to be dropped.
async fn end(
    handled: Handled,
    state: LaneState,
    host: Uuid,
    is_in_doubt: bool,
) -> Result<(Ended, Option<Box<Instance>>), Error> {
    let written = match handled.write_out().await {
        Ok(written) => written,
        Err(broken) => return Ok((failed(broken, state, is_in_doubt), None)),
    };
    failpoint("batch-handled");
    let outcome = written
        .batch
        .commit(written.up_to, Change::Keep, host)
        .await?;
    let ended = match outcome {
        Outcome::Committed => {
            failpoint("batch-committed");
            Ended::Committed
        }
        Outcome::Overtaken => Ended::Overtaken,
        Outcome::Refused(error) => {
            let broken = Broken::at_the_commit(&error, written.retry_context, written.events);
            failed(broken, state, is_in_doubt)
        }
    };
    Ok((ended, written.spent))
}

fn failed(broken: Broken, state: LaneState, is_in_doubt: bool) -> Ended {
    let (failed, is_in_doubt) = broken.into_failed(state, is_in_doubt);
    Ended::Failed(Box::new(failed), is_in_doubt)
}
