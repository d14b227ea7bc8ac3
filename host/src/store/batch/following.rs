//! A batch that begins while the one before it is on its way into the database.
//!
//! Far from the head it is a waste to let the guest wait until the server has written what the last batch came to. So the next one begins
//! with the rows as they will be, and without a session. The first thing for which it needs one, at the latest its end, waits until the
//! batch before is committed, and then takes the lane as any other batch does and finds out whether it is as was presumed. If the one before
//! fails, nothing of this one has happened.

use sqlx::PgConnection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::presuming::{Presumption, presumed_state, refuted};
use super::{Authority, Batch, Durability, Grant};
use crate::store::leased::Leased;
use crate::store::rows::{KeptRows, Rows};
use crate::store::value::Value;
use crate::store::{Error, GuestError, LaneKey, Store, Subscription};

impl Batch {
    /// Begins behind the batch of a projector that left these rows, and that will say so when it is committed.
    pub fn follow(
        store: &Store,
        key: &LaneKey,
        known: &Subscription,
        left: KeptRows,
        host: Uuid,
        before: oneshot::Receiver<()>,
    ) -> Box<Batch> {
        let (position, _) = left.end();
        let state = presumed_state(known, position, host);
        let (grant, durability) = (Grant::Handle, Durability::Replayable);
        // Of nobody, until there is a session.
        let nobody = Authority::Host {
            subscription: key.subscription.clone(),
        };
        let mut batch = Batch::without_session(store, key, grant, durability, state, nobody);
        batch.rows = left.rows;
        batch.presumed = Some(Presumption::of(known, host, position));
        batch.before = Some(before);
        batch.knows_before = left.knows_all;
        Box::new(batch)
    }

    /// Gives the rows to the batch that is to follow, and keeps back the statements that write what is buffered, for [`Batch::flush`].
    /// `None`: what there is to write is not for one statement a table, and stays as it is.
    pub fn part_with_rows(&mut self, to: i64) -> Result<Option<KeptRows>, GuestError> {
        let has_more = !self.appends.is_empty() || self.aborted.is_some();
        if has_more || !self.rows.fit_one_statement() {
            return Ok(None);
        }
        self.parted = self.rows.upserting()?;
        let knows_all = self.rows.settle() && !self.has_written_unknown;
        let mut left = self.keep_rows(to);
        left.knows_all = knows_all;
        Ok(Some(left))
    }

    /// What is to be asked for these rows of a table; nobody, if they are known and there is no session yet.
    pub(super) async fn before_known(
        &mut self,
        table: &str,
        keys: &[Vec<Value>],
    ) -> Result<(Option<&mut PgConnection>, &mut Rows), GuestError> {
        if self.before.is_some() {
            self.check_aborted()?;
            if self.rows.know(table, keys) {
                return Ok((None, &mut self.rows));
            }
            if !self.may_read_early().await? {
                self.take_lane().await?;
            }
        }
        let (connection, rows) = self.before_rows().await?;
        Ok((Some(connection), rows))
    }

    /// Whether rows can be read while the batch before is not committed, since it wrote none that are not known. In a session in which a guest
    /// may have left something, names need not mean what they should.
    async fn may_read_early(&mut self) -> Result<bool, GuestError> {
        if !self.knows_before {
            return Ok(false);
        }
        if self.connection.is_none() {
            let taken = self.take_session().await;
            taken.map_err(|error| refuted(&error.to_string()))?;
        }
        let leased = self.connection.as_ref();
        Ok(leased.is_some_and(|leased| leased.clean_backend().is_some()))
    }

    /// Waits for the batch before, and takes a session.
    pub(super) async fn connect(&mut self) -> Result<(), GuestError> {
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        if before.await.is_err() {
            return Err(refuted("the batch before was not committed"));
        }
        if self.connection.is_some() {
            return Ok(());
        }
        let connected = self.take_session().await;
        connected.map_err(|error| refuted(&error.to_string()))
    }

    async fn take_session(&mut self) -> Result<(), Error> {
        let (store, subscription) = (self.store.clone(), self.key.subscription.clone());
        let leased = Leased::acquire(&store, &subscription, self.grant.duty()).await?;
        if let Some(leased) = leased {
            self.authority = leased.authority(&subscription);
            self.connection = Some(leased);
        }
        Ok(())
    }
}
