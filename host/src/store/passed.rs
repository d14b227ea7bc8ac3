//! Checkpoints of lanes for whose guests nothing came: moved together, and not at once.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Error, LaneKey, Store};

/// A lane of which this host knows that nothing its guest wants lies between two positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedLane {
    pub key: LaneKey,
    /// Where the checkpoint is, as far as the host knows. Exclusive.
    pub from: i64,
    pub to: i64,
    /// The row of the subscription that said what its guest wants.
    pub revision: String,
}

impl Store {
    /// Moves checkpoints that are still where they were. Says where they are now, of those lanes whose subscriptions are
    /// still what they were.
    pub async fn pass_lanes(
        &self,
        lanes: &[PassedLane],
        host: Uuid,
    ) -> Result<Vec<(LaneKey, i64)>, Error> {
        let rows = sqlx::query(include_str!("sql/pass_lanes.sql"))
            .bind(column(lanes, |lane| lane.key.subscription.as_str()))
            .bind(column(lanes, |lane| lane.key.lane))
            .bind(column(lanes, |lane| lane.from))
            .bind(column(lanes, |lane| lane.to))
            .bind(column(lanes, |lane| lane.revision.as_str()))
            .bind(host)
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let key = LaneKey {
                    subscription: row.try_get("subscription")?,
                    lane: row.try_get("lane")?,
                };
                Ok((key, row.try_get("position")?))
            })
            .collect()
    }
}

fn column<'a, T>(lanes: &'a [PassedLane], of: impl Fn(&'a PassedLane) -> T) -> Vec<T> {
    lanes.iter().map(of).collect()
}
