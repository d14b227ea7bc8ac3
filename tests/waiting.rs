//! Reading one's own write: `wait`, `append --wait` and `projectionist.wait_for` in SQL.

use std::time::Duration;

use projectionist::admin::{self, Goal, WaitOutcome, Whom};
use projectionist::store::{ExpectedVersion, NewEvent, Store};
use sqlx::{AssertSqlSafe, PgConnection};
use subscription::{Consistency, Criteria, Descriptor, Resume, Status};

use crate::support::command::shown;
use crate::support::rows::{fail, move_to, projector, register};
use crate::support::{PATIENCE, TestDatabase};

fn strong(id: &str) -> Descriptor {
    Descriptor {
        consistency: Consistency::Strong,
        ..projector(id)
    }
}

async fn append(store: &Store, count: usize) {
    let events: Vec<NewEvent> = (0..count).map(|_| NewEvent::new("Opened")).collect();
    let appended = store.append("s", ExpectedVersion::Any, &events).await;
    appended.expect("appended");
}

fn everybody() -> Whom {
    Whom::Meant(Criteria::default())
}

#[tokio::test]
async fn waits_until_everybody_is_there() {
    let database = TestDatabase::new().await;
    let store = database.store();
    append(&store, 3).await;
    register(&store, projector("accounts_1"), Status::Active).await;
    register(&store, projector("orders_1"), Status::Booting).await;
    move_to(&store, "accounts_1", 3).await;

    let whom = everybody();
    let waiting = admin::wait(&store, &whom, Goal::Head, PATIENCE);
    let (report, ()) = tokio::join!(waiting, move_to(&store, "orders_1", 3));

    let report = report.expect("a report");
    assert_eq!(report.outcome, WaitOutcome::Reached, "{report:?}");
    assert_eq!(report.position, 3);
}

#[tokio::test]
async fn says_who_is_behind_and_who_will_never_come() {
    let database = TestDatabase::new().await;
    let store = database.store();
    append(&store, 7).await;
    let mut text = shown(&database, &["wait", "--head"]).await;
    for (id, status, position) in [
        ("accounts_1", Status::Active, 7),
        ("orders_1", Status::Booting, 2),
        ("mails_1", Status::New, 0),
    ] {
        register(&store, projector(id), status).await;
        move_to(&store, id, position).await;
    }
    for words in [
        &["wait", "--head", "--timeout", "0"] as &[&str],
        &["wait", "--position", "7", "--id", "accounts_1"],
        &["wait", "--position", "2", "--id", "orders_1", "--json"],
        &["wait", "--head", "--position", "1"],
    ] {
        text.push_str(&shown(&database, words).await);
    }
    for (id, status) in [
        ("paused_1", Status::Paused(Resume::Active)),
        ("detached_1", Status::Detached(Resume::Active)),
        ("failed_1", Status::Active),
    ] {
        register(&store, projector(id), status).await;
    }
    fail(&store, "failed_1", 1).await;
    for id in ["paused_1", "detached_1", "failed_1"] {
        text.push_str(&shown(&database, &["wait", "--head", "--id", id]).await);
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_new_subscription_is_not_there_before_its_tables_are() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::New).await;
    let report = admin::wait(&store, &everybody(), Goal::Position(0), Duration::ZERO).await;
    assert_eq!(report.expect("a report").outcome, WaitOutcome::TimedOut);
}

#[tokio::test]
async fn an_append_waits_for_guests_that_are_marked_strong() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    let event = ["append", "--stream", "s", "--type", "Opened", "--wait"];
    let nobody = shown(&database, &event).await;
    assert!(nobody.ends_with("exit 0\n"), "{nobody}");

    register(&store, strong("orders_1"), Status::Active).await;
    let late = [&event[..], &["--wait-timeout", "0"]].concat();
    let late = shown(&database, &late).await;

    insta::with_settings!({filters => vec![(r"[0-9a-f]{8}-[0-9a-f-]{27}", "[uuid]")]}, {
        insta::assert_snapshot!(late);
    });
    assert_eq!(store.head().await.expect("a head"), 2);
    move_to(&store, "orders_1", 3).await;
    let there = shown(&database, &event).await;
    assert!(there.ends_with("exit 0\n"), "{there}");
}

#[tokio::test]
async fn a_version_that_is_built_beside_a_live_one_holds_no_writer_up() {
    let database = TestDatabase::new().await;
    let store = database.store();
    append(&store, 3).await;
    register(&store, strong("accounts_1"), Status::Active).await;
    move_to(&store, "accounts_1", 3).await;
    register(&store, strong("accounts_2"), Status::Booting).await;
    let live = "UPDATE projectionist.lines SET live = 'accounts_1', live_since = now() WHERE line = 'accounts'";
    sqlx::raw_sql(live)
        .execute(database.pool())
        .await
        .expect("live");

    let report = admin::wait(&store, &Whom::Strong, Goal::Head, Duration::ZERO).await;

    let report = report.expect("a report");
    assert_eq!(report.outcome, WaitOutcome::Reached, "{report:?}");
    let mut application = database.connect().await;
    let at_once = "SELECT projectionist.wait_for(3, '0 s')";
    assert_eq!(ask(&mut application, at_once).await, Ok(true));
}

async fn ask(connection: &mut PgConnection, sql: &str) -> Result<bool, String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .map_err(|error| match error {
            sqlx::Error::Database(refusal) => {
                format!(
                    "{} {}",
                    refusal.code().unwrap_or_default(),
                    refusal.message()
                )
            }
            other => other.to_string(),
        })
}

#[tokio::test]
async fn applications_wait_in_sql() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    let mut application = database.connect().await;
    let at_once = "SELECT projectionist.wait_for(3, '0 s')";
    assert_eq!(
        ask(&mut application, at_once).await,
        Ok(true),
        "nobody is strong"
    );
    register(&store, strong("orders_1"), Status::Booting).await;
    assert_eq!(ask(&mut application, at_once).await, Ok(false));
    let named = "SELECT projectionist.wait_for(3, '0 s', '{accounts_1}')";
    assert_eq!(ask(&mut application, named).await, Ok(false));

    let patiently = "SELECT projectionist.wait_for(3, '30 s')";
    let (there, ()) = tokio::join!(
        ask(&mut application, patiently),
        move_to(&store, "orders_1", 3)
    );

    assert_eq!(there, Ok(true));
    assert_eq!(ask(&mut application, named).await, Ok(false));
}

#[tokio::test]
async fn an_application_waits_for_the_live_version_of_a_line() {
    let database = TestDatabase::new().await;
    let store = database.store();
    for id in ["accounts_1", "accounts_2"] {
        register(&store, projector(id), Status::Active).await;
    }
    let mut application = database.connect().await;
    let named = "SELECT projectionist.wait_for(3, '0 s', '{accounts}')";
    let refused = ask(&mut application, named).await;
    assert!(refused.is_err(), "nothing of the line is live: {refused:?}");
    let live = "INSERT INTO projectionist.lines (line, kind, live, live_since)
                VALUES ('accounts', 'projector', 'accounts_1', clock_timestamp())
                ON CONFLICT (line) DO UPDATE SET live = excluded.live, live_since = excluded.live_since";
    let live = sqlx::raw_sql(live).execute(database.pool()).await;
    live.expect("live");

    assert_eq!(ask(&mut application, named).await, Ok(false));
    move_to(&store, "accounts_2", 3).await;
    assert_eq!(ask(&mut application, named).await, Ok(false));
    move_to(&store, "accounts_1", 3).await;
    assert_eq!(ask(&mut application, named).await, Ok(true));
}

#[tokio::test]
async fn waiting_in_sql_is_refused_where_it_would_be_in_vain() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(
        &store,
        strong("accounts_1"),
        Status::Paused(Resume::Booting),
    )
    .await;
    let wait = "SELECT projectionist.wait_for(3, '30 s')";
    let cases: [(&str, &str); 5] = [
        ("", wait),
        (
            "",
            "SELECT projectionist.wait_for(3, '30 s', '{acounts_1}')",
        ),
        ("", "SELECT projectionist.wait_for(NULL)"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", wait),
        (
            "BEGIN; SELECT projectionist.append('s', NULL, '[{\"type\": \"Opened\"}]')",
            wait,
        ),
    ];
    let mut told = Vec::new();
    for (before, sql) in cases {
        let mut connection = database.connect().await;
        let began = sqlx::raw_sql(AssertSqlSafe(before.to_owned()));
        began.execute(&mut connection).await.expect("done");
        let refusal = ask(&mut connection, sql).await.expect_err("a refusal");
        told.push(refusal);
    }
    insta::assert_snapshot!(told.join("\n"));
}
