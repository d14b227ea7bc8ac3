//! Versions that are kept after another took over, and dropping one whose time is over.

use sqlx::Row as _;
use subscription::{Aged, Status};

use super::failpoint::failpoint;
use super::subscriptions::{drop_subscription, read_status};
use super::switch::{Busy, is_busy, lock_lanes, set_lock_timeout};
use super::{Error, Store};

/// A version that is kept, with its line.
#[derive(Clone, Debug)]
pub struct KeptVersion {
    pub line: String,
    /// The version that is live instead.
    pub live: String,
    pub kept: Aged,
}

/// What became of a version that is not kept any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    Done,
    /// It is at work again, or gone, or somebody holds a lock.
    NotNow,
    /// Something of a user depends on its tables; what.
    Refused(String),
}

impl Store {
    /// Detached versions below the live one of their line.
    pub async fn kept_versions(&self) -> Result<Vec<KeptVersion>, Error> {
        let rows = sqlx::query(include_str!("sql/list_kept_versions.sql"))
            .fetch_all(self.pool())
            .await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let age_ms: i64 = row.try_get("age_ms")?;
            Ok(KeptVersion {
                line: row.try_get("line")?,
                live: row.try_get("live")?,
                kept: Aged {
                    id: row.try_get("id")?,
                    age_ms: age_ms.max(0).unsigned_abs(),
                },
            })
        };
        rows.iter().map(read).collect()
    }

    /// Drops a version with its tables, its roles, its rows and its module, unless it is live, wanted or at work by now. The guest's
    /// own teardown does not run: all that it could do is in the schema that goes.
    pub async fn retire(&self, version: &KeptVersion) -> Result<Retired, Error> {
        let id = version.kept.id.as_str();
        let mut transaction = self.begin().await?;
        set_lock_timeout(&mut transaction).await?;
        let line = sqlx::query(include_str!("sql/lock_line.sql"))
            .bind(&version.line)
            .bind(None::<&str>)
            .bind(None::<uuid::Uuid>)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(line) = line else {
            return Ok(Retired::NotNow);
        };
        let (live, wanted): (Option<String>, Option<String>) =
            (line.try_get("live")?, line.try_get("wanted")?);
        if live.as_ref() != Some(&version.live) || wanted.as_deref() == Some(id) {
            return Ok(Retired::NotNow);
        }
        if let Err(Busy) = lock_lanes(&mut transaction, &[id]).await? {
            return Ok(Retired::NotNow);
        }
        let row = sqlx::query(include_str!("sql/lock_subscription.sql"))
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let still_detached = match &row {
            Some(row) => matches!(read_status(row, id)?, Status::Detached(_)),
            None => false,
        };
        if !still_detached {
            return Ok(Retired::NotNow);
        }
        let dropped = sqlx::query(include_str!("sql/drop_tables.sql"))
            .bind(id)
            .execute(&mut *transaction)
            .await;
        match dropped {
            Ok(_) => {}
            Err(error) if is_busy(&error) => return Ok(Retired::NotNow),
            Err(error) => {
                return match depends(&error) {
                    Some(what) => Ok(Retired::Refused(what)),
                    None => Err(error.into()),
                };
            }
        }
        drop_subscription(&mut transaction, id).await?;
        failpoint("retire-committing");
        transaction.commit().await?;
        self.roles().forget(id);
        failpoint("retire-committed");
        Ok(Retired::Done)
    }
}

/// What depends on what was to be dropped, as the server lists it.
fn depends(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    if error.code().as_deref() != Some("2BP01") {
        return None;
    }
    let detail = error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .and_then(|error| error.detail());
    Some(detail.unwrap_or(error.message()).replace('\n', "; "))
}
