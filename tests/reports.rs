//! Guests that run once: they finish, and say what they did, to whoever runs them and to whoever asks later.

use projectionist::store::Report;

use crate::support::command::{shown, typed};
use crate::support::process::modules;
use crate::support::{Modules, TestDatabase, stepped};

const ID: &str = "reports_once_1";

async fn report(database: &TestDatabase) -> Report {
    let reports = database.store().reports(Some(ID)).await.expect("reports");
    assert_eq!(reports.len(), 1);
    reports.into_iter().next().expect("one")
}

/// What differs from one run to the next.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in \d+\.\d s", "in N s");
    // The host's own log, which the guest's warning goes to as well.
    settings.add_filter(r"(?m)^\d{4}-\d\d-\d\dT\S+ +WARN .*\n", "");
    settings
}

#[tokio::test]
async fn one_that_runs_once_finishes_and_says_what_it_did() {
    let database = TestDatabase::new().await;
    let modules = modules(&["reports_once"]);
    database.append_ticks(25).await;

    let words = ["run", "--once", "--modules", "DIR"];
    let said = typed(&database, &modules, &words).await;
    settings().bind(|| insta::assert_snapshot!("run_once", said));
    assert_eq!(database.status(ID).await, "Finished");

    database.append_ticks(5).await;
    let again = typed(&database, &modules, &words).await;
    assert!(!again.contains("is finished"), "it is told once: {again}");
    assert_eq!(
        database.seen(ID).await.expect("rows").len(),
        25,
        "and done once"
    );
    let status = shown(&database, &["status"]).await;
    let (_, status) = status.split_once("run once").expect("a section");
    let (status, _) = status.split_once("\n\n").unwrap_or((status, ""));
    settings().bind(|| insta::assert_snapshot!("status", status));
    let json = shown(&database, &["status", "--json"]).await;
    assert!(json.contains("\"events\":25"), "{json}");
}

#[tokio::test]
async fn what_is_rolled_back_or_interrupted_is_not_counted_twice() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["reports_once"]));
    database.append_ticks(25).await;
    let mut host = stepped(&database, &modules).await;
    host.once_at_most(Some(12)).await.expect("12 events");
    assert_eq!(report(&database).await.events, 12);

    // The note of a batch that never came to its commit.
    sqlx::raw_sql(
        "INSERT INTO projectionist.reports VALUES ('reports_once_1', 1, 12, 20, 1000, 1000, 'never', 1000)",
    )
    .execute(database.pool())
    .await
    .expect("noted");
    assert_eq!(report(&database).await.events, 12, "it does not count");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    let report = report(&database).await;
    assert_eq!(database.status(ID).await, "Finished");
    assert_eq!(report.events, 25);
    let last = [
        "reported events=10",
        "a chunk of no more than 3",
        "reported events=3",
    ];
    assert_eq!(report.last_lines, last);
}
