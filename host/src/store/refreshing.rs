//! Taking over what a guest says about itself now: the group, a processor's filter, a run mode.

use std::collections::HashMap;

use sqlx::Row as _;
use subscription::{Descriptor, RunMode, Status};

use super::subscriptions::notify_control;
use super::{Digest, Error, Store, run_mode_text};

/// What is taken over, by compare-and-set.
#[derive(Clone, Copy, Debug)]
pub struct Refreshed<'a> {
    pub id: &'a str,
    pub module: &'a Digest,
    pub status: Status,
    pub descriptor: &'a Descriptor,
    pub run_mode: RunMode,
    /// Where a New subscription begins now, exclusive, when that has changed.
    pub start_position: Option<i64>,
}

impl Store {
    /// What the newest module of each subscription says, by id.
    pub async fn said(&self) -> Result<HashMap<String, Descriptor>, Error> {
        let rows = sqlx::query(include_str!("sql/list_said.sql"))
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let sqlx::types::Json(descriptor) = row.try_get("descriptor")?;
                Ok((row.try_get("id")?, descriptor))
            })
            .collect()
    }

    /// Writes what was taken over. `false`: the row is another by now, look again. Where the beginning changes it waits for a
    /// setup that is under way.
    pub async fn refresh(&self, new: &Refreshed<'_>) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        if new.start_position.is_some() {
            sqlx::query(include_str!("sql/lock_lanes.sql"))
                .bind(new.id)
                .fetch_all(&mut *transaction)
                .await?;
        }
        let changed = sqlx::query(include_str!("sql/refresh_subscription.sql"))
            .bind(new.id)
            .bind(new.module.as_slice())
            .bind(new.status.name())
            .bind(&new.descriptor.group)
            .bind(run_mode_text(new.run_mode))
            .bind(sqlx::types::Json(new.descriptor))
            .bind(new.start_position)
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(position) = new.start_position {
            sqlx::query(include_str!("sql/move_checkpoints.sql"))
                .bind(new.id)
                .bind(position)
                .execute(&mut *transaction)
                .await?;
        }
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
