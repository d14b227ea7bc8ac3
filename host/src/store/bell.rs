//! The bell: appenders ring it, by NOTIFY, only while some host sleeps.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use super::{Error, Store};

impl Store {
    /// Asks appenders to ring from now on, for `sleep` by the server's clock. A time that another host asked for and that
    /// ends later stays.
    ///
    /// Whoever goes to sleep has to arm the bell first, then look at holders, then at events, each in a statement of its
    /// own: an appender that was too early to see the bell armed is still a holder, or its events are there.
    pub async fn arm_bell(&self, sleep: Duration) -> Result<Armed, Error> {
        let mut connection = self.pool().acquire().await?;
        arm(&mut connection, sleep).await
    }

    /// Sets the bell back for whoever is awake again: a ring costs appenders far more than a look at the bell. If somebody
    /// else armed it since, it stays.
    pub async fn disarm_bell(&self, armed: Armed) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await?;
        disarm(&mut connection, armed).await
    }
}

pub(super) async fn arm(connection: &mut PgConnection, sleep: Duration) -> Result<Armed, Error> {
    let sleep_ms = i64::try_from(sleep.as_millis()).unwrap_or(i64::MAX / 2);
    let row = sqlx::query(include_str!("sql/arm_bell.sql"))
        .bind(sleep_ms)
        .fetch_one(connection)
        .await?;
    Ok(Armed {
        before_ms: row.try_get("before_ms")?,
        until_ms: row.try_get("until_ms")?,
    })
}

pub(super) async fn disarm(connection: &mut PgConnection, armed: Armed) -> Result<(), Error> {
    sqlx::query(include_str!("sql/disarm_bell.sql"))
        .bind(armed.until_ms)
        .bind(armed.before_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// The bell as somebody armed it, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    before_ms: i64,
    until_ms: i64,
}

impl Armed {
    /// Armed again by the same one: what was before that.
    pub fn after(self, earlier: Option<Armed>) -> Armed {
        match earlier {
            Some(earlier) if earlier.until_ms == self.before_ms => Armed {
                before_ms: earlier.before_ms,
                ..self
            },
            _ => self,
        }
    }
}
