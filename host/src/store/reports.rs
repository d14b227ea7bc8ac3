//! What guests that run once have done so far, batch by batch, and what it comes to.

use serde::Serialize;
use sqlx::Row as _;

use super::{Error, LaneKey, LaneState, Store};

/// What one batch of a guest that runs once did.
#[derive(Clone, Debug, Default)]
pub struct NewReport {
    pub to_position: i64,
    pub events: usize,
    pub log_lines: u64,
    /// The last lines that the guest logged in this batch.
    pub last_lines: Vec<String>,
    pub took_ms: u64,
}

/// What all its committed batches came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    #[serde(skip)]
    pub subscription: String,
    /// Events that the guest was handed.
    pub events: i64,
    /// Lines that it logged.
    pub log_lines: i64,
    /// The last of them, oldest first.
    pub last_lines: Vec<String>,
    /// Time in its batches, in milliseconds.
    pub took_ms: i64,
}

impl Store {
    /// Notes what a batch did that is about to be committed. Until it is, the note does not count.
    pub async fn keep_report(
        &self,
        key: &LaneKey,
        state: &LaneState,
        report: &NewReport,
    ) -> Result<(), Error> {
        let narrow = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        sqlx::query(include_str!("sql/keep_report.sql"))
            .bind(&key.subscription)
            .bind(state.generation)
            .bind(state.position)
            .bind(report.to_position)
            .bind(narrow(report.events as u64))
            .bind(narrow(report.log_lines))
            .bind(report.last_lines.join("\n"))
            .bind(narrow(report.took_ms))
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// What guests that run once have done, of one subscription or of all.
    pub async fn reports(&self, subscription: Option<&str>) -> Result<Vec<Report>, Error> {
        let rows = sqlx::query(include_str!("sql/list_reports.sql"))
            .bind(subscription)
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let last_lines: Option<String> = row.try_get("last_lines")?;
                Ok(Report {
                    subscription: row.try_get("subscription")?,
                    events: row.try_get("events")?,
                    log_lines: row.try_get("log_lines")?,
                    last_lines: last_lines
                        .iter()
                        .flat_map(|text| text.lines())
                        .map(str::to_owned)
                        .collect(),
                    took_ms: row.try_get("took_ms")?,
                })
            })
            .collect()
    }
}
