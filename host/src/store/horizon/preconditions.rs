//! What the horizon relies on, checked when a host starts and refused with a reason.

use sqlx::Row as _;

use crate::store::{Error, Store};

impl Store {
    /// Refuses a source of events that cannot be read in safe order.
    pub async fn check_preconditions(&self) -> Result<(), Error> {
        let sequence = self.source().qualified_sequence();
        let sql = include_str!("../sql/check_source.sql");
        let row = sqlx::query(sql)
            .bind(&sequence)
            .fetch_one(self.pool())
            .await?;
        if row.try_get("is_standby")? {
            return Err(Error::Standby);
        }
        let Some(cache) = row.try_get::<Option<i64>, _>("seqcache")? else {
            return Err(Error::NoSequence { sequence });
        };
        let increment: i64 = row.try_get("seqincrement")?;
        let cycles: bool = row.try_get("seqcycle")?;
        let broken = [
            (cache != 1).then(|| {
                (
                    format!(
                        "CACHE {cache}, so a number may be older than one that was taken before it"
                    ),
                    "CACHE 1",
                )
            }),
            (increment != 1).then(|| {
                (
                    format!("INCREMENT {increment}, so holes cannot be seen"),
                    "INCREMENT 1",
                )
            }),
            cycles.then(|| ("CYCLE, so numbers may come again".to_string(), "NO CYCLE")),
        ];
        match broken.into_iter().flatten().next() {
            Some((found, wanted)) => Err(Error::UnsafeSequence {
                sequence,
                found,
                wanted,
            }),
            None => Ok(()),
        }
    }
}
