//! Statements that are answered before the server has run them.
//!
//! Where it is known how many rows a statement touches unless it fails, its guest need not wait: it goes on with the next events while the
//! server works. What it asks for next waits for that, and so does the end of the batch. If anything fails in such a batch, the guest may have
//! gone on from what was not so. Then nothing of it counts, and the batch is done again with each answer in its turn: neither a guest nor who
//! looks for the event that is to blame sees a difference.

use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use sqlx::PgConnection;
use tokio::task::JoinSet;

use super::presuming::refuted;
use super::{Batch, at_hand, bounded};
use crate::store::GuestError;
use crate::store::leased::Leased;
use crate::store::many::Work as Many;
use crate::store::statement::Bound;
use crate::store::value::Value;

/// What is under way although it has been answered: one statement at most, with the connection that it runs on. It is given up when this is
/// dropped.
#[derive(Default)]
pub(super) struct Behind {
    /// Whether anything may be.
    pub is_allowed: bool,
    /// Whether anything was.
    pub has_been: bool,
    running: Option<BoxFuture<'static, (Leased, Result<(), GuestError>)>>,
}

impl Behind {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

/// What a guest asks to be done, held against what the server takes.
enum Work {
    One(Bound),
    Many(Many),
}

impl Work {
    /// How many rows it touches unless it fails, where that can be said before.
    fn affects(&self) -> Option<u64> {
        match self {
            Work::One(bound) => bound.affects(),
            Work::Many(many) => many.affects(),
        }
    }

    async fn run(self, connection: &mut PgConnection) -> Result<u64, GuestError> {
        match self {
            Work::One(bound) => bound.execute(connection).await,
            Work::Many(many) => many.run(connection).await,
        }
    }
}

impl Batch {
    /// Runs one statement of the guest and counts the rows it touched.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, GuestError> {
        self.admit_statement(sql).await?;
        // What can be made ready is, while the server may still be at work.
        let ready = self.recent.bind_known(sql, parameters);
        let ready = self.after(ready)?;
        self.before_admitted().await?;
        let bound = match ready {
            Some(bound) => bound,
            None => {
                let patience = self.patience();
                let (connection, recent) = self.session();
                let bound = bounded(patience, recent.bind(connection, sql, parameters)).await;
                self.after(bound.map_err(GuestError::of_the_guest))?
            }
        };
        self.answer(Work::One(bound)).await
    }

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
        let ready = Many::of_known(&self.known, sql, lists);
        let ready = self.after(ready)?;
        self.before_admitted().await?;
        let work = match ready {
            Some(work) => work,
            None => {
                let patience = self.patience();
                let connection = at_hand(&mut self.connection);
                let work = Many::of(connection, &mut self.known, sql, lists);
                let work = bounded(patience, work).await;
                self.after(work.map_err(GuestError::of_the_guest))?
            }
        };
        self.light += work.light_lists();
        self.answer(Work::Many(work)).await
    }

    async fn answer(&mut self, work: Work) -> Result<u64, GuestError> {
        if let Some(affects) = work.affects()
            && self.behind.is_allowed
        {
            let is_one = matches!(work, Work::One(_));
            self.run_behind(work, affects);
            if !is_one {
                // It begins on this thread, before the guest goes on here.
                tokio::task::yield_now().await;
            }
            return Ok(affects);
        }
        self.busy = true;
        let result = bounded(self.patience(), work.run(self.connection())).await;
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

    /// Begins what has an answer already: so many rows.
    fn run_behind(&mut self, work: Work, told: u64) {
        let patience = self.patience();
        let leased = self.connection.take();
        let mut leased = leased.expect("the connection is there until the batch ends");
        let is_one = matches!(work, Work::One(_));
        let running = async move {
            let result = bounded(patience, work.run(leased.get())).await;
            let result = result.map_err(GuestError::of_the_guest);
            (leased, result.and_then(|touched| as_told(touched, told)))
        };
        self.behind.has_been = true;
        self.behind.running = Some(if is_one {
            // It is sent now. The answer can lie there until somebody asks for it.
            let mut running = running.boxed();
            match (&mut running).now_or_never() {
                Some(ended) => future::ready(ended).boxed(),
                None => running,
            }
        } else {
            // Several messages, one after the other, while the guest goes on.
            let mut task = JoinSet::new();
            task.spawn(running);
            async move {
                let ended = task.join_next().await.expect("one was spawned");
                // It is ended from here alone, and then nobody waits.
                ended.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
            }
            .boxed()
        });
    }

    /// Waits for what is under way behind its answer.
    pub(super) async fn catch_up(&mut self) -> Result<(), GuestError> {
        let Some(running) = &mut self.behind.running else {
            return Ok(());
        };
        let (leased, result) = running.await;
        self.behind.running = None;
        self.connection = Some(leased);
        self.after(result)
    }
}

/// A trigger or a rule of somebody else's table can leave a row as it is. The guest was told otherwise.
fn as_told(touched: u64, told: u64) -> Result<(), GuestError> {
    if touched == told {
        return Ok(());
    }
    let message = format!("a statement touched {touched} rows after its guest was told {told}");
    Err(refuted(&message))
}
