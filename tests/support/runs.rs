//! The guest `runs_sql`, which runs the statement of each event, beside another subscription that must not notice.

use projectionist::admin::skipped;
use projectionist::engine::Host;
use serde_json::json;

use super::log::{event, only};
use super::{Modules, TestDatabase, stepped};

/// The guest's id.
pub const ID: &str = "runs_sql_1";

/// A database with another subscription in it, which has rows, and a host that takes steps.
pub async fn with_bystander() -> (TestDatabase, Modules, Host) {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(3).await;
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("scanned");
    host.once().await.expect("caught up");
    (database, modules, host)
}

/// Appends an event for each statement; the position of the last.
pub async fn append_runs(database: &TestDatabase, how: &str, statements: &[&str]) -> i64 {
    let runs: Vec<_> = statements
        .iter()
        .map(|sql| event("Run", &json!({"sql": sql, "how": how})))
        .collect();
    let appended = database.append("runs", &runs).await;
    appended.last().expect("one at least").position
}

/// Each statement with what became of it: its answer, or the reason why it was skipped.
pub async fn verdicts(database: &TestDatabase, statements: &[&str]) -> String {
    let events: Vec<(i64, String)> = sqlx::query_as(
        "SELECT position, data ->> 'sql' FROM projectionist.events WHERE type = 'Run' ORDER BY position",
    )
    .fetch_all(database.pool())
    .await
    .expect("events");
    let answers: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, answer FROM runs_sql_1.answers")
            .fetch_all(database.pool())
            .await
            .expect("answers");
    let reasons = skipped(&database.store(), &only(ID))
        .await
        .expect("skipped");
    let error = database.error(ID).await;
    let told = events.iter().map(|(position, sql)| {
        let answer = answers.iter().find(|(at, _)| at == position);
        let reason = reasons.iter().find(|skipped| skipped.position == *position);
        let verdict = match (answer, reason) {
            (Some((_, answer)), None) => format!("= {answer}"),
            (None, Some(skipped)) => format!("! {}", skipped.reason),
            both => panic!("{sql}: {both:?}; {error:?}"),
        };
        format!("{sql}\n  {verdict}")
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told.len(), statements.len());
    told.join("\n")
}
