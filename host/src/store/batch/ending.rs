//! How a batch ends: one round trip that moves the checkpoint, commits, asks whether that transaction was committed, and resets the
//! session. What was committed can be seen before the session is reset, and the next batch need not wait for that either.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::answering::Behind;
use super::opening::{RESET, literal, proof_literal};
use super::{Batch, Change, Grant, Outcome, too_slow};
use crate::store::lanes::{MAX_ERROR_MESSAGE_BYTES, bounded};
use crate::store::proof::{Authority, digest};
use crate::store::{Error, GuestError};

/// How long a failed batch waits for its rollback.
const ABANDON_PATIENCE: Duration = Duration::from_secs(5);

/// The server's last word on the transaction that took the lane: the answer of a COMMIT alone may be that of a ROLLBACK.
const OUTCOME: &str = "outcome";

/// SQLSTATE of the functions that move the checkpoint: it is not where this batch began, or the status is another.
const OVERTAKEN: &str = "PJ012";

impl Batch {
    /// Moves the checkpoint, changes the status where the batch ends a phase, and commits. Buffered writes are out by now.
    pub async fn commit(mut self, to: i64, change: Change, host: Uuid) -> Result<Outcome, Error> {
        if let Err(refused) = self.catch_up().await {
            return Ok(Outcome::Refused(refused));
        }
        if self.grant == Grant::Define
            && let Some(refused) = self.audit().await?
        {
            return Ok(Outcome::Refused(refused));
        }
        self.busy = true;
        let patience = self.patience();
        let script = self.ending_script(to, change, host);
        let mut outcome = None;
        let ending = see_end(self.connection(), script, &mut outcome);
        let ended = tokio::time::timeout(patience, ending).await;
        if let Some(outcome) = outcome {
            let is_reset = matches!(ended, Ok(Ok(())));
            self.end(is_reset);
            if self.grant == Grant::Define && outcome == Outcome::Committed {
                self.mend_role().await;
            }
            return Ok(outcome);
        }
        let error = match ended {
            Ok(Ok(())) => return Ok(not_committed()),
            Ok(Err(error)) => error,
            // Still under way on the server, where it is ended when this is dropped.
            Err(_) => return Ok(Outcome::Refused(too_slow(patience))),
        };
        self.busy = false;
        outcome_of(error)
    }

    /// In `setup` a guest can give its own role another password, and tell it to others. In vain: the role gets back that of its
    /// row, at the latest when a host finds that it does not log in.
    async fn mend_role(&mut self) {
        if matches!(self.authority, Authority::Host { .. }) {
            return;
        }
        let id = &self.key.subscription;
        if let Err(error) = self.store.make_roles_of(id).await {
            tracing::warn!(subscription = %id, "the role of {id} could not be given its password again: {:#}", anyhow::Error::from(error));
        }
    }

    fn ending_script(&self, to: i64, change: Change, host: Uuid) -> String {
        let lane = self.key.lane.to_string();
        let (old, new, host) = (
            self.state.position.to_string(),
            to.to_string(),
            host.to_string(),
        );
        let statuses = change.statuses();
        let (from, into) = (
            statuses.map(|(from, _)| from),
            statuses.map(|(_, into)| into),
        );
        let words = [
            from.map(|status| status.name()),
            from.and_then(|status| status.resume())
                .map(|resume| resume.name()),
            into.map(|status| status.name()),
            into.and_then(|status| status.resume())
                .map(|resume| resume.name()),
        ];
        let must = matches!(change, Change::Must(..)).to_string();
        let mut what = vec!["advance", &lane, &old, &new, &host];
        what.extend(words.map(|word| word.unwrap_or("-")));
        what.extend([must.as_str(), &self.transaction_id]);
        let proof = self.authority.proof(&what);
        let [from, from_resume, into, into_resume] = words.map(literal);
        let reset = match &self.connection {
            Some(leased) if leased.is_of_a_role() => RESET,
            _ => "",
        };
        // The setting once more: a guest may have changed it.
        format!(
            "SELECT pj_batch.advance({lane}, {old}, {new}, '{host}', {from}, {from_resume}, {into}, {into_resume}, {must}, \
             '{}', {}, {}); SET LOCAL synchronous_commit = {}; COMMIT; \
             SELECT pg_catalog.pg_xact_status('{}'::pg_catalog.xid8) AS {OUTCOME}; {reset}",
            self.transaction_id,
            literal(self.authority.subscription()),
            proof_literal(proof.as_deref()),
            self.durability.synchronous_commit(),
            self.transaction_id
        )
    }

    /// What `setup` left behind that a guest may not have.
    async fn audit(&mut self) -> Result<Option<GuestError>, Error> {
        if matches!(self.authority, Authority::Host { .. }) {
            return Ok(None);
        }
        self.busy = true;
        let refused: Result<Vec<String>, _> = sqlx::query_scalar(include_str!("../sql/audit.sql"))
            .fetch_all(self.connection())
            .await;
        self.busy = false;
        let refused = match refused {
            Ok(refused) => refused,
            // The guest let the transaction fail.
            Err(error) if !GuestError::is_passing(&error) => return Ok(Some(error.into())),
            Err(error) => return Err(error.into()),
        };
        if refused.is_empty() {
            return Ok(None);
        }
        Ok(Some(GuestError::new(
            "denied",
            format!(
                "`setup` leaves behind what a guest may not have: {}; it may have tables, indexes, sequences and types in its own schema, and nothing that runs code",
                refused.join(", ")
            ),
        )))
    }

    /// Ends `teardown`: drops the schema, the rows and the roles of the subscription. What the guest's teardown did was in that
    /// schema alone, so nothing of it has to be kept: everything goes in one transaction of the host.
    pub async fn commit_removal(self) -> Result<(), Error> {
        let (store, subscription) = (self.store.clone(), self.key.subscription.clone());
        self.rollback().await?;
        store.remove_subscription(&subscription).await?;
        Ok(())
    }

    /// A new generation of the subscription, which begins behind `from`: what failed in the old one is forgotten.
    pub async fn begin_generation(&mut self, from: i64) -> Result<(), Error> {
        let proof = self.proof(&["generation", &from.to_string()]);
        let statement = sqlx::query(include_str!("../sql/begin_generation.sql")).bind(from);
        self.call(statement, proof).await
    }

    /// Drops everything in the schema of the subscription, in the same transaction as what is made there anew.
    pub async fn empty_schema(&mut self) -> Result<(), Error> {
        let proof = self.proof(&["empty"]);
        let statement = sqlx::query(include_str!("../sql/empty_schema.sql"));
        self.call(statement, proof).await
    }

    /// Records an event as skipped, in the same transaction as the checkpoint that passes it.
    pub async fn record_skipped(
        &mut self,
        position: i64,
        skipped_by: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let reason = bounded(reason, MAX_ERROR_MESSAGE_BYTES);
        let words = ["skip", &position.to_string(), skipped_by, &digest(&reason)];
        let proof = self.proof(&words);
        let statement = sqlx::query(include_str!("../sql/record_skipped.sql"))
            .bind(position)
            .bind(skipped_by.to_owned())
            .bind(reason);
        self.call(statement, proof).await
    }

    /// Marks a skipped event as handled after all, in the same transaction as what the guest made of it.
    pub async fn mark_replayed(&mut self, position: i64) -> Result<(), Error> {
        let proof = self.proof(&["replayed", &position.to_string()]);
        let statement = sqlx::query(include_str!("../sql/mark_replayed.sql")).bind(position);
        self.call(statement, proof).await
    }

    /// Gives everything up: nothing of the batch remains.
    pub async fn rollback(mut self) -> Result<(), Error> {
        if self.presumed.is_some() || self.connection.is_none() {
            self.release();
            return Ok(());
        }
        self.busy = true;
        sqlx::raw_sql("ROLLBACK").execute(self.connection()).await?;
        self.release();
        Ok(())
    }

    /// Gives everything up after a failure, and comes back when the lane is free again: who looks for the culprit in the
    /// next batch must not find it taken by the last one.
    pub async fn abandon(mut self) {
        if self.is_busy() {
            // Nobody waits for the statement any more, but the server goes on with it, and keeps the lane.
            self.connection = None;
            self.behind = Behind::default();
            let transaction_id = std::mem::take(&mut self.transaction_id);
            self.store.see_ended(self.backend, &transaction_id).await;
            return;
        }
        // In vain it is closed, which ends it as well.
        let ended = tokio::time::timeout(ABANDON_PATIENCE, self.rollback()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!("a failed batch could not be rolled back in peace");
        }
    }

    /// Whether another lane of this subscription is still behind `position`.
    pub async fn others_behind(&mut self, position: i64) -> Result<bool, Error> {
        // Asked by the host: what others have committed is the same on any connection.
        let statement = sqlx::query_scalar(include_str!("../sql/other_lanes_behind.sql"))
            .bind(&self.key.subscription)
            .bind(self.key.lane)
            .bind(position);
        Ok(statement.fetch_one(self.store.pool()).await?)
    }

    /// A function of `pj_batch`, whose last two parameters say on whose behalf it is called.
    pub(in crate::store) async fn call(
        &mut self,
        statement: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
        proof: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let subscription = self.authority.subscription().map(str::to_owned);
        self.busy = true;
        statement
            .bind(subscription)
            .bind(proof)
            .execute(self.connection())
            .await?;
        self.busy = false;
        Ok(())
    }

    /// What is done in this transaction, proven.
    pub(in crate::store) fn proof(&self, words: &[&str]) -> Option<Vec<u8>> {
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain([self.transaction_id.as_str()])
            .collect();
        self.authority.proof(&words)
    }

    /// The transaction is over. A session that could not be reset is closed.
    fn end(&mut self, is_reset: bool) {
        if is_reset && let Some(leased) = &mut self.connection {
            leased.mark_clean();
            self.release();
        }
        self.busy = false;
        self.connection = None;
    }

    pub(super) fn release(&mut self) {
        self.busy = false;
        if let Some(leased) = self.connection.take() {
            leased.release();
        }
    }
}

/// Runs the last script of a batch. The outcome is known before the script is through.
async fn see_end(
    connection: &mut PgConnection,
    script: String,
    outcome: &mut Option<Outcome>,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if row.try_column(OUTCOME).is_ok() {
            *outcome = Some(match row.try_get(0)? {
                Some("committed") => Outcome::Committed,
                _ => not_committed(),
            });
        }
    }
    Ok(())
}

/// What the error of a statement that moves the checkpoint means. Out of reach is an error of the host: the checkpoint will tell
/// whether it was committed.
pub(super) fn outcome_of(error: sqlx::Error) -> Result<Outcome, Error> {
    // A conflict is counted as one of a statement is: a guest could cause it every time.
    if GuestError::is_passing(&error) && !GuestError::is_a_conflict(&error) {
        return Err(error.into());
    }
    let error = GuestError::from(error);
    Ok(match error.sqlstate.as_deref() {
        Some(OVERTAKEN) => Outcome::Overtaken,
        // What a guest wrote is checked at the commit as well, where its constraints are deferred.
        _ => Outcome::Refused(error),
    })
}

fn not_committed() -> Outcome {
    Outcome::Refused(GuestError::new(
        "database",
        "the transaction of the batch was not committed",
    ))
}
