//! The bell: appenders ring it, by NOTIFY, only while some host sleeps.

use std::time::Duration;

use super::{Error, Store};

impl Store {
    /// Asks appenders to ring from now on, for `sleep` by the server's clock. A time that another host asked for and that
    /// ends later stays.
    ///
    /// Whoever goes to sleep has to arm the bell first, then look at holders, then at events, each in a statement of its
    /// own: an appender that was too early to see the bell armed is still a holder, or its events are there.
    pub async fn arm_bell(&self, sleep: Duration) -> Result<(), Error> {
        let sleep_ms = i64::try_from(sleep.as_millis()).unwrap_or(i64::MAX / 2);
        sqlx::query(include_str!("sql/arm_bell.sql"))
            .bind(sleep_ms)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
