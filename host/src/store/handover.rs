//! Handing a line over: the live version is kept from going past the next one, until no snapshot is left that could see it
//! there.
//!
//! A reader in REPEATABLE READ whose snapshot was taken before the switch, and who first looks after it, reads the new tables as of
//! his snapshot. If the live version was ahead at that moment, he sees a step back. So the order is: hold the live version back
//! (`begin`), wait until the next one is level (`confirm`), wait for the snapshots that were taken before that, and then switch.
//! Nobody stands still for it: the live version is behind the next one by the milliseconds of a batch.

use std::time::Duration;

use uuid::Uuid;

use super::line::{Hindrance, read_hindrance};
use super::switch::{Busy, is_busy, lock_lanes, set_lock_timeout};
use super::{Error, Store};

/// How long a handover holds unless it is kept up: a host that dies in it frees the live version after so long.
pub const HANDOVER_LEASE: Duration = Duration::from_secs(2);

/// A line that goes from one version to another.
#[derive(Clone, Debug)]
pub struct Handover {
    pub line: String,
    pub from: Option<String>,
    pub to: String,
    /// The host that does it.
    pub by: Uuid,
}

/// Whether the next version is level with the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Yes,
    /// Behind, or a batch of the live one is open.
    NotYet,
    /// The handover ran out or is somebody else's.
    Lost,
}

impl Store {
    /// Holds the live version back. `false`: somebody else is at it, or another version is live by now.
    pub async fn begin_handover(&self, handover: &Handover) -> Result<bool, Error> {
        let begun = sqlx::query(include_str!("sql/begin_handover.sql"))
            .bind(&handover.line)
            .bind(&handover.from)
            .bind(&handover.to)
            .bind(handover.by)
            .bind(HANDOVER_LEASE.as_millis() as i64)
            .execute(self.pool())
            .await?;
        Ok(begun.rows_affected() > 0)
    }

    /// Whether the next version is level with the live one. From then on it stays so for all snapshots to come.
    pub async fn confirm_handover(&self, handover: &Handover) -> Result<Level, Error> {
        let mut transaction = self.begin().await?;
        set_lock_timeout(&mut transaction).await?;
        // With the live lane in hand, no batch is open that began before it was held back.
        let versions: Vec<&str> = handover.from.iter().map(String::as_str).collect();
        let from = match lock_lanes(&mut transaction, &versions).await? {
            Ok(positions) => positions,
            Err(Busy) => return Ok(Level::NotYet),
        };
        let to: Option<i64> = sqlx::query_scalar(include_str!("sql/least_position.sql"))
            .bind(&handover.to)
            .fetch_one(&mut *transaction)
            .await?;
        let from = from.get(versions.first().copied().unwrap_or_default());
        match (from, to) {
            (_, None) => return Ok(Level::Lost),
            (Some(from), Some(to)) if to < *from => return Ok(Level::NotYet),
            _ => {}
        }
        let confirmed = sqlx::query(include_str!("sql/confirm_handover.sql"))
            .bind(&handover.line)
            .bind(&handover.to)
            .bind(handover.by)
            .execute(&mut *transaction)
            .await;
        let confirmed = match confirmed {
            Err(error) if is_busy(&error) => return Ok(Level::NotYet),
            other => other?,
        };
        transaction.commit().await?;
        Ok(match confirmed.rows_affected() {
            0 => Level::Lost,
            _ => Level::Yes,
        })
    }

    /// Says that the handover goes on. `false`: it ran out, and has to begin anew.
    pub async fn keep_handover(&self, handover: &Handover) -> Result<bool, Error> {
        let kept = sqlx::query(include_str!("sql/keep_handover.sql"))
            .bind(&handover.line)
            .bind(&handover.to)
            .bind(handover.by)
            .bind(HANDOVER_LEASE.as_millis() as i64)
            .execute(self.pool())
            .await?;
        Ok(kept.rows_affected() > 0)
    }

    /// Lets the live version go on as before.
    pub async fn end_handover(&self, handover: &Handover) -> Result<(), Error> {
        sqlx::query(include_str!("sql/end_handover.sql"))
            .bind(&handover.line)
            .bind(handover.by)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Transactions whose snapshot is older than the handover.
    pub async fn older_snapshots(&self, line: &str) -> Result<Vec<Hindrance>, Error> {
        let rows = sqlx::query(include_str!("sql/list_older_snapshots.sql"))
            .bind(line)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_hindrance).collect()
    }

    /// Up to where a subscription has dealt with everything; `None`: it is gone.
    pub async fn least_position(&self, id: &str) -> Result<Option<i64>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/least_position.sql"))
            .bind(id)
            .fetch_one(self.pool())
            .await?)
    }
}
