//! How often each activity happened on each day.
//!
//! A projector with SQL: it makes its table in `setup` and counts with an upsert. The plain way would be one statement per
//! event, in a handler that takes `Sql`:
//!
//! ```ignore
//! fn count(event: Event<Step>, at: RecordedAt, sql: Sql) -> Result {
//!     sql.execute(COUNT, &params![event.activity, at.date(), 1])?;
//!     Ok(())
//! }
//! ```
//!
//! That is right, and fast enough while events trickle in; in a rebuild every event would wait for a round trip. So the
//! counts of a chunk are folded in memory first, and `after_chunk` writes one row per activity and day.

use projectionist_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

const CREATE: &str = "CREATE TABLE activity_day (
    activity text NOT NULL,
    day date NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (activity, day)
)";

const COUNT: &str =
    "INSERT INTO activity_day AS counted (activity, day, events) VALUES ($1, $2, $3)
    ON CONFLICT (activity, day) DO UPDATE SET events = counted.events + excluded.events";

/// What every event of the log's applications carries.
#[derive(Deserialize)]
struct Step {
    activity: String,
}

type Counts = BTreeMap<(String, Date), i64>;

fn projector() -> Projector {
    Projector::new("activities_1")
        .setup(|sql: Sql| sql.execute(CREATE, &[]).map(|_| ()))
        .on("A_*", count)
        .on("O_*", count)
        .on("W_*", count)
        .after_chunk(write)
}

fn count(event: Event<Step>, at: RecordedAt, counts: Fold<Counts>) {
    *counts
        .get()
        .entry((event.0.activity, at.date()))
        .or_default() += 1;
}

fn write(counts: Fold<Counts>, sql: Sql) -> Result {
    let rows: Vec<_> = counts
        .take()
        .into_iter()
        .map(|((activity, day), events)| params![activity, day, events])
        .collect();
    sql.execute_many(COUNT, &rows)?;
    Ok(())
}

export_projector!(projector);
