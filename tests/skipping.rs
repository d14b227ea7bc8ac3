//! What an operator does about an event that fails: try it again now, or leave it out. No host need be running.

use projectionist::admin::{self, Change, Done};
use projectionist::store::{ExpectedVersion, NewEvent};
use serde_json::json;
use serde_json::value::to_raw_value;
use subscription::{Criteria, Resume, Status};
use tempfile::TempDir;

use crate::support::command::{projectionist, seen, shown};
use crate::support::process::{compiled_modules, modules};
use crate::support::{TestDatabase, guests};

const ID: &str = "fails_on_poison_1";

/// A log of three events, with the poison in the middle.
async fn poisoned(verdict: serde_json::Value) -> TestDatabase {
    guests::build();
    let database = TestDatabase::new().await;
    let poison = NewEvent {
        data: to_raw_value(&verdict).expect("JSON"),
        ..NewEvent::new("Poison")
    };
    let events = [NewEvent::new("Opened"), poison, NewEvent::new("Closed")];
    let store = database.store();
    let appended = store.append("s", ExpectedVersion::Any, &events).await;
    appended.expect("appended");
    database
}

async fn run_once(database: &TestDatabase, modules: &TempDir) -> String {
    let (modules, cache) = (modules.path().display(), compiled_modules());
    let (modules, cache) = (modules.to_string(), cache.display().to_string());
    let words = [
        "run",
        "--once",
        "--modules",
        &modules,
        "--cache-dir",
        &cache,
    ];
    seen(&projectionist(Some(database.url()), &words).await)
}

async fn stands(database: &TestDatabase) -> (Status, i64) {
    let store = database.store();
    let row = store.subscription(ID).await.expect("an answer");
    let lanes = store.lanes(Some(ID)).await.expect("lanes");
    (row.expect("it is there").status, lanes[0].position)
}

async fn handled(database: &TestDatabase) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM fails_on_poison_1.seen ORDER BY position")
        .fetch_all(database.pool())
        .await
        .expect("rows")
}

fn named(id: &str) -> Criteria {
    Criteria {
        ids: vec![id.to_owned()],
        ..Criteria::default()
    }
}

fn only(changes: Result<Vec<Change>, admin::Error>) -> Change {
    let mut changes = changes.expect("an answer");
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

#[tokio::test]
async fn the_failing_event_is_left_out_and_what_follows_is_handled() {
    let database = poisoned(json!({"verdict": "stop"})).await;
    let modules = modules(&["fails_on_poison"]);
    let failed = run_once(&database, &modules).await;
    assert!(failed.ends_with("exit 1"), "{failed}");
    assert_eq!(stands(&database).await, (Status::Error(Resume::Booting), 1));

    let skipped = shown(
        &database,
        &["skip", "--id", ID, "--reason", "agreed with support"],
    )
    .await;
    assert_eq!(stands(&database).await, (Status::Booting, 2));
    let again = run_once(&database, &modules).await;

    assert!(again.ends_with("exit 0"), "{again}");
    assert_eq!(stands(&database).await, (Status::Active, 3));
    assert_eq!(handled(&database).await, [1, 3]);
    let twice = shown(&database, &["skip", "--id", ID]).await;
    let list = shown(&database, &["skipped", "list"]).await;
    let show = shown(
        &database,
        &["skipped", "show", "--id", ID, "--position", "2"],
    )
    .await;
    let other = shown(
        &database,
        &["skipped", "show", "--id", ID, "--position", "3"],
    )
    .await;
    insta::with_settings!({filters => vec![
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]"),
        (r"[0-9a-f]{8}-[0-9a-f-]{27}", "[uuid]"),
    ]}, {
        insta::assert_snapshot!([skipped, twice, list, show, other].join("\n"));
    });
}

#[tokio::test]
async fn an_event_that_failed_is_tried_again_at_once() {
    let database = poisoned(json!({"verdict": "retry", "until_attempt": 2})).await;
    let modules = modules(&["fails_on_poison"]);
    run_once(&database, &modules).await;
    // The retry is due in 5 s, so another run leaves it as it is.
    run_once(&database, &modules).await;
    assert_eq!(stands(&database).await, (Status::Error(Resume::Booting), 1));

    let change = only(admin::retry(&database.store(), &Criteria::default()).await);
    assert_eq!(change.result, Done::Done, "{change:?}");
    let lanes = database.store().lanes(Some(ID)).await.expect("lanes");
    let attempts = lanes[0].error.as_ref().map(|error| error.attempts);
    assert_eq!(attempts, Some(1), "the count goes on");
    run_once(&database, &modules).await;

    assert_eq!(stands(&database).await, (Status::Active, 3));
    let text = shown(&database, &["retry", "--id", ID]).await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn an_event_is_skipped_only_where_one_fails() {
    let database = poisoned(json!({"verdict": "stop"})).await;
    let modules = modules(&["fails_on_poison", "fails_in_setup"]);
    run_once(&database, &modules).await;
    let store = database.store();
    let paused = admin::pause(&store, &named(ID)).await;
    assert_eq!(only(paused).result, Done::Done);

    let ids: Vec<String> = store
        .subscriptions()
        .await
        .expect("rows")
        .into_iter()
        .map(|row| row.id)
        .collect();
    let all = Criteria {
        ids,
        ..Criteria::default()
    };
    let changes = admin::skip(&store, &all, None).await.expect("an answer");

    let reasons: Vec<String> = changes
        .into_iter()
        .map(|change| format!("{:?} {}", change.result, change.reason.unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(reasons.join("\n"));
}

#[tokio::test]
async fn of_a_group_those_are_skipped_that_fail_and_the_others_are_left() {
    let database = poisoned(json!({"verdict": "stop"})).await;
    let modules = modules(&["fails_on_poison", "records"]);
    run_once(&database, &modules).await;
    let mut text = String::new();
    for words in [
        &["skip"] as &[&str],
        &["skip", "--group", "projector"],
        &["skip", "--all", "--json"],
    ] {
        text.push_str(&shown(&database, words).await);
    }
    assert_eq!(stands(&database).await, (Status::Booting, 2));
    insta::assert_snapshot!(text);
}
