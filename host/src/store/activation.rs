//! What an operator wants to be live: written down for a host to do, or done at once where no host is needed.

use std::time::Duration;

use sqlx::PgConnection;
use subscription::{Input, Next, RunMode, Status};

use super::subscriptions::{change_status, notify_control, read_status};
use super::switch::{Busy, hold_line, lock_lanes, set_live, supersede};
use super::{Error, Store};

/// What a processor that is activated does with what it has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The version before has dealt with it: go on where that one stops.
    PassOver,
    /// Deal with it too, and repeat what the version before has done.
    Repeat,
}

/// How an intent to activate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intended {
    /// The status now.
    Done(Status),
    /// Somebody else was faster: look again.
    Stale,
    /// A batch is open that does not end.
    Busy,
}

impl Store {
    /// Lets a version run, if it does not, and makes it the one that is to be live. `muted`: a processor that goes through history
    /// without effects until it is level with the live one.
    pub async fn want(&self, line: &str, id: &str, muted: bool) -> Result<Intended, Error> {
        let mut transaction = self.begin().await?;
        let Some(status) = set_going(&mut transaction, id).await? else {
            return Ok(Intended::Stale);
        };
        for statement in [
            sqlx::query(include_str!("sql/want_version.sql"))
                .bind(line)
                .bind(id),
            sqlx::query(include_str!("sql/mute.sql"))
                .bind(id)
                .bind(muted),
        ] {
            statement.execute(&mut *transaction).await?;
        }
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Intended::Done(status))
    }

    /// Nothing but the live version is wanted any more.
    pub async fn want_nothing(&self, line: &str) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/want_version.sql"))
            .bind(line)
            .bind(None::<&str>)
            .execute(&mut *transaction)
            .await?;
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// One processor stops and the other goes on, in one transaction. `wait`: for the batches that are open.
    pub async fn replace_processor(
        &self,
        line: &str,
        from: Option<&str>,
        to: &str,
        unseen: Unseen,
        wait: Duration,
    ) -> Result<Intended, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/set_lock_timeout.sql"))
            .bind(format!("{}ms", wait.as_millis().max(1)))
            .execute(&mut *transaction)
            .await?;
        hold_line(&mut transaction, line).await?;
        let versions: Vec<&str> = from.into_iter().chain([to]).collect();
        let positions = match lock_lanes(&mut transaction, &versions).await? {
            Ok(positions) => positions,
            Err(Busy) => return Ok(Intended::Busy),
        };
        if let Some(from) = from {
            supersede(&mut transaction, from).await?;
            sqlx::query(include_str!("sql/left_live.sql"))
                .bind(from)
                .execute(&mut *transaction)
                .await?;
            if let (Unseen::PassOver, Some(stopped)) = (unseen, positions.get(from)) {
                sqlx::query(include_str!("sql/raise_checkpoints.sql"))
                    .bind(to)
                    .bind(stopped)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        let Some(status) = set_going(&mut transaction, to).await? else {
            return Ok(Intended::Stale);
        };
        set_live(&mut transaction, line, to).await?;
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Intended::Done(status))
    }
}

/// Reactivates a version that is stopped, with a fresh count of retries; one that is at work or done stays as it is. The status now;
/// `None`: it is gone.
async fn set_going(connection: &mut PgConnection, id: &str) -> Result<Option<Status>, Error> {
    let row = sqlx::query(include_str!("sql/lock_subscription.sql"))
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let status = read_status(&row, id)?;
    let stopped = status.resume().is_some();
    match status.on(Input::Reactivate, RunMode::FromBeginning) {
        Ok(Next::Status(next)) if stopped => {
            change_status(connection, id, status, next).await?;
            sqlx::query(include_str!("sql/reset_error.sql"))
                .bind(id)
                .execute(connection)
                .await?;
            Ok(Some(next))
        }
        _ => Ok(Some(status)),
    }
}
