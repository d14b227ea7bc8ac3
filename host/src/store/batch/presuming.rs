//! A batch that takes its lane only where it ends.
//!
//! At the head a batch is an event or two, and most of what it costs is to find that everything is as the last batch of this host left
//! it. So it presumes that, and opens nothing. The guest works with the rows that are known; others are read in the session as it is. In the end one
//! statement takes the lane, finds out whether the presumption holds, moves the checkpoint and writes the rows: a transaction by itself. Whoever
//! else may have written rows of the guest has moved the checkpoint, or is named as who moved it, so rows that were read are true if it holds.
//!
//! What needs a transaction before the end, as a statement of the guest does, takes the lane first.

use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::ending::outcome_of;
use super::opening::{begin, lane_state};
use super::{Batch, Change, Durability, Grant, LaneState, Outcome, too_slow};
use crate::store::leased::Leased;
use crate::store::rows::{KeptRows, Written};
use crate::store::{Error, GuestError, LaneKey, Store, Subscription};

/// The parameters of `take_and_advance.sql`, behind which those of rows begin.
const PARAMETERS: usize = 8;

/// How a lane is presumed to be, beside the state of the batch.
pub(super) struct Presumption {
    /// Whose batch kept the rows, and moved the checkpoint last.
    host: Uuid,
    /// Since then this host has moved it so far at most, past what the guest does not want.
    passed_to: i64,
    /// Of the row of the subscription.
    revision: String,
}

/// A lane of this subscription as a host left it, or soon will have.
pub(super) fn presumed_state(known: &Subscription, position: i64, host: Uuid) -> LaneState {
    LaneState {
        position,
        status: known.status,
        module: known.module,
        generation: known.generation,
        boot_until: known.boot_until,
        ceiling: None,
        muted: known.muted,
        attempts: 0,
        error_position: None,
        retry_context: None,
        moved_by: Some(host),
    }
}

impl Presumption {
    pub fn of(known: &Subscription, host: Uuid, passed_to: i64) -> Presumption {
        Presumption {
            host,
            passed_to,
            revision: known.revision.clone(),
        }
    }

    fn holds(&self, presumed: &LaneState, found: &LaneState) -> bool {
        let of = |state: &LaneState| {
            let row = (state.status, state.module, state.generation, state.muted);
            let failed = (state.attempts, state.error_position);
            (row, failed, state.ceiling, state.moved_by)
        };
        of(presumed) == of(found) && (presumed.position..=self.passed_to).contains(&found.position)
    }
}

impl Batch {
    /// Begins a batch of a projector that goes on where the one ended that kept these rows. `None`: they are of another generation, the
    /// subscription is gone, or there is no session that is as a role's is in the beginning.
    pub async fn presume(
        store: &Store,
        key: &LaneKey,
        known: &Subscription,
        kept: KeptRows,
        host: Uuid,
        passed_to: i64,
    ) -> Result<Option<Box<Batch>>, Error> {
        let (position, generation) = kept.end();
        if generation != known.generation {
            return Ok(None);
        }
        let acquired = Leased::acquire(store, &key.subscription, Grant::Handle.duty()).await?;
        let Some(leased) = acquired else {
            return Ok(None);
        };
        let Some(backend) = leased.clean_backend() else {
            leased.release();
            return Ok(None);
        };
        let state = presumed_state(known, position, host);
        let (grant, durability) = (Grant::Handle, Durability::Replayable);
        let session = (leased, backend);
        let mut batch = Batch::new(store, key, grant, durability, state, session);
        batch.rows = kept.rows;
        batch.presumed = Some(Presumption::of(known, host, passed_to.max(position)));
        Ok(Some(Box::new(batch)))
    }

    /// Whether its lane is not taken yet.
    pub fn is_presumed(&self) -> bool {
        self.presumed.is_some()
    }

    /// Whether the statement that takes the lane can do all that is left to do.
    pub(super) fn ends_at_once(&self) -> bool {
        let is_all = self.appends.is_empty() && self.rows.fit_one_statement();
        self.presumed.is_some() && self.before.is_none() && is_all
    }

    /// Takes the lane, if that is still to be done, and finds out whether it is as was presumed.
    pub(super) async fn take_lane(&mut self) -> Result<(), GuestError> {
        let Some(presumed) = self.presumed.take() else {
            return Ok(());
        };
        let connected = self.connect().await;
        self.after(connected)?;
        self.busy = true;
        let taken = self.begin_late(&presumed).await;
        self.after(taken)
    }

    async fn begin_late(&mut self, presumed: &Presumption) -> Result<(), GuestError> {
        let leased = self.connection.as_mut();
        let leased = leased.ok_or_else(|| refuted("the subscription is gone"))?;
        let begun = begin(
            leased,
            &self.authority,
            &self.key,
            self.grant,
            self.durability,
        )
        .await;
        let row = begun.map_err(|error| refuted(&error.to_string()))?;
        let row = row.ok_or_else(|| refuted("somebody else has the lane"))?;
        let found = lane_state(&row, &self.key.subscription);
        let (found, transaction_id) = found.map_err(|error| refuted(&error.to_string()))?;
        let backend = row.try_get("backend").map_err(GuestError::from)?;
        (self.transaction_id, self.backend) = (transaction_id, backend);
        if !presumed.holds(&self.state, &found) {
            return Err(refuted("the lane is not as its host left it"));
        }
        self.state = found;
        Ok(())
    }

    /// [`Batch::commit`], with what the next batch of this lane may know.
    pub async fn commit_keeping(
        mut self,
        to: i64,
        change: Change,
        host: Uuid,
    ) -> Result<(Outcome, KeptRows), Error> {
        if self.before.is_some() && self.take_lane().await.is_err() {
            return Ok((Outcome::Overtaken, self.keep_rows(to)));
        }
        let Some(presumed) = self.presumed.take() else {
            let kept = self.keep_rows(to);
            return Ok((self.commit(to, change, host).await?, kept));
        };
        // Who presumes is at the head and stays in its status: any other change is for a batch that holds the lane.
        if change != Change::Keep {
            self.release();
            return Ok((Outcome::Overtaken, self.keep_rows(to)));
        }
        let outcome = self.take_and_commit(to, &presumed).await?;
        let kept = self.keep_rows(to);
        // Nothing of a guest's ran in the session.
        self.release();
        Ok((outcome, kept))
    }

    async fn take_and_commit(&mut self, to: i64, presumed: &Presumption) -> Result<Outcome, Error> {
        let writing = match self.rows.writing("taken", PARAMETERS + 1, compose) {
            Ok(writing) => writing,
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        let words = [
            "take-and-advance",
            &self.key.lane.to_string(),
            &self.state.position.to_string(),
            &presumed.passed_to.to_string(),
            &to.to_string(),
            &presumed.host.to_string(),
            &presumed.revision,
            &self.backend.to_string(),
        ];
        let mut query = sqlx::query(AssertSqlSafe(writing.sql))
            .bind(self.key.lane)
            .bind(self.state.position)
            .bind(presumed.passed_to)
            .bind(to)
            .bind(presumed.host)
            .bind(presumed.revision.clone())
            .bind(self.authority.subscription().map(str::to_owned))
            .bind(self.authority.proof(&words));
        for column in writing.columns {
            query = match column {
                Written::One(value) => query.bind(value),
                Written::Many(list) => query.bind(list),
            };
        }
        let patience = self.patience();
        let ended = tokio::time::timeout(patience, query.execute(self.connection())).await;
        let Ok(ended) = ended else {
            // Still under way on the server.
            self.connection = None;
            return Ok(Outcome::Refused(too_slow(patience)));
        };
        match ended {
            Ok(_) => {
                self.rows.settle();
                Ok(Outcome::Committed)
            }
            Err(error) => outcome_of(error),
        }
    }
}

/// Each upsert draws its rows only once the lane is taken.
fn compose(upserts: &[String]) -> String {
    let take = include_str!("../sql/take_and_advance.sql").trim_end();
    let mut sql = format!("WITH taken AS MATERIALIZED ({take})");
    for (number, upsert) in upserts.iter().enumerate() {
        sql.push_str(&format!(", written_{number} AS ({upsert})"));
    }
    sql.push_str(" SELECT taken.it FROM taken");
    sql
}

/// What the batch went by is not so, or cannot be found out: the same again, with the lane taken first.
pub(super) fn refuted(message: &str) -> GuestError {
    GuestError {
        retryable: true,
        ..GuestError::new("unavailable", message)
    }
}
