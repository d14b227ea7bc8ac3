//! Going back in the log: a new generation, with tables made anew or kept.

use projectionist::store::{ExpectedVersion, FAILPOINT_VARIABLE, NewEvent, REWIND_FAILPOINTS};
use subscription::{Descriptor, Kind, Resume, Status, SubscriberId};
use tempfile::TempDir;

use crate::support::command::{shown, typed};
use crate::support::process::{HostProcess, compiled_modules, modules};
use crate::support::rows::{move_to, projector, register};
use crate::support::{PATIENCE, TestDatabase, eventually, guests};

const ID: &str = "records_1";

/// A read model of three events that has caught up.
async fn caught_up() -> (TestDatabase, TempDir) {
    guests::build();
    let database = TestDatabase::new().await;
    let events = ["Opened", "Changed", "Closed"].map(NewEvent::new);
    let store = database.store();
    let appended = store.append("s", ExpectedVersion::Any, &events).await;
    appended.expect("appended");
    let modules = modules(&["records"]);
    catch_up(&database, &modules).await;
    (database, modules)
}

async fn catch_up(database: &TestDatabase, modules: &TempDir) {
    let words = ["run", "--once", "--modules", "DIR"];
    let text = typed(database, modules, &words).await;
    assert!(text.ends_with("exit 0\n"), "{text}");
}

async fn stands(database: &TestDatabase, id: &str) -> (Status, i64, i32) {
    let store = database.store();
    let row = store.subscription(id).await.expect("an answer");
    let row = row.expect("it is there");
    let lanes = store.lanes(Some(id)).await.expect("lanes");
    (row.status, lanes[0].position, row.generation)
}

/// Position and count of each row.
async fn rows(database: &TestDatabase) -> Vec<(i64, i64)> {
    sqlx::query_as("SELECT position, n FROM records_1.seen ORDER BY position")
        .fetch_all(database.pool())
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_read_model_is_made_anew_from_the_beginning() {
    let (database, modules) = caught_up().await;
    let words = ["rewind", "--id", ID, "--to", "0", "--yes"];
    let text = typed(&database, &modules, &words).await;
    assert_eq!(stands(&database, ID).await, (Status::Booting, 0, 2));
    assert_eq!(rows(&database).await, []);

    catch_up(&database, &modules).await;

    assert_eq!(stands(&database, ID).await, (Status::Active, 3, 2));
    assert_eq!(rows(&database).await, [(1, 1), (2, 2), (3, 3)]);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_read_model_begins_behind_the_position_that_is_given() {
    let (database, modules) = caught_up().await;
    let words = ["rewind", "--id", ID, "--to", "2", "--yes"];
    typed(&database, &modules, &words).await;
    catch_up(&database, &modules).await;
    assert_eq!(rows(&database).await, [(3, 1)]);
}

#[tokio::test]
async fn a_time_means_everything_that_was_recorded_since_then() {
    let (database, modules) = caught_up().await;
    for (time, expected) in [("2200-01-01T00:00:00Z", 3), ("2000-01-01T00:00:00Z", 0)] {
        let words = ["rewind", "--id", ID, "--to-time", time, "--yes"];
        let text = typed(&database, &modules, &words).await;
        assert_eq!(stands(&database, ID).await.1, expected, "{text}");
    }
}

#[tokio::test]
async fn a_time_is_found_without_reading_what_was_recorded_before() {
    let database = TestDatabase::new().await;
    // An event each second, up to now; the plan depends on what the server knows of the table.
    let fill = "INSERT INTO projectionist.events (stream, version, type, recorded_at)
         SELECT 's', n, 'Tick', pg_catalog.now() - (60000 - n) * interval '1 second' FROM pg_catalog.generate_series(1, 60000) n;
         VACUUM (ANALYZE) projectionist.events";
    for statement in fill.split(';') {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        done.execute(database.pool()).await.expect("done");
    }
    let store = database.store();
    let minute_ago = store.clock().await.expect("a time") - time::Duration::minutes(1);

    let found = store.position_before(minute_ago).await.expect("a position");

    assert!((59_900..60_000).contains(&found), "{found}");
    let sql = include_str!("../host/src/store/sql/position_before.sql");
    let sql = projectionist::store::EventSource::built_in().render(sql);
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
        .bind(minute_ago)
        .fetch_all(database.pool())
        .await
        .expect("a plan");
    let plan = plan.join("\n");
    assert!(
        plan.contains("Bitmap Index Scan on events_by_time"),
        "{plan}"
    );
}

#[tokio::test]
async fn rows_are_kept_where_that_is_asked_for_and_what_was_paused_stays_so() {
    let (database, modules) = caught_up().await;
    shown(&database, &["pause", "--id", ID]).await;
    let words = ["rewind", "--id", ID, "--to", "1", "--keep-rows"];
    typed(&database, &modules, &words).await;
    let expected = (Status::Paused(Resume::Booting), 1, 2);
    assert_eq!(stands(&database, ID).await, expected);
    assert_eq!(rows(&database).await, [(1, 1), (2, 2), (3, 3)]);
}

#[tokio::test]
async fn what_cannot_be_rewound_is_left_as_it_is() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    register(&store, projector("orders_1"), Status::New).await;
    let mails = SubscriberId::parse("mails", Kind::Processor).expect("an id");
    let mails = Descriptor::new(mails, Kind::Processor);
    register(&store, mails, Status::Active).await;
    move_to(&store, "accounts_1", 5).await;
    move_to(&store, "mails", 5).await;
    let mut text = String::new();
    for words in [
        &["rewind", "--to", "0"] as &[&str],
        &["rewind", "--id", "accounts_1", "--to", "0"],
        &["rewind", "--id", "accounts_1", "--to", "0", "--yes"],
        &["rewind", "--id", "accounts_1", "--to", "6", "--keep-rows"],
        &["rewind", "--id", "orders_1", "--to", "0", "--yes"],
        &["rewind", "--id", "mails", "--to", "0", "--keep-rows"],
    ] {
        text.push_str(&shown(&database, words).await);
    }
    insta::assert_snapshot!(text);
    for id in ["accounts_1", "mails"] {
        assert_eq!(stands(&database, id).await, (Status::Active, 5, 1), "{id}");
    }
    let words = [
        "rewind",
        "--id",
        "mails",
        "--to",
        "3",
        "--keep-rows",
        "--repeat-effects",
    ];
    let meant = shown(&database, &words).await;
    assert_eq!(
        stands(&database, "mails").await,
        (Status::Booting, 3, 2),
        "{meant}"
    );
}

#[tokio::test]
async fn a_running_host_builds_what_was_rewound() {
    let (database, modules) = caught_up().await;
    let host = HostProcess::start(database.url(), modules.path());
    let words = ["rewind", "--id", ID, "--to", "0", "--yes"];
    let text = typed(&database, &modules, &words).await;
    assert!(text.ends_with("exit 0\n"), "{text}");
    eventually(PATIENCE, async || match stands(&database, ID).await {
        (Status::Active, 3, 2) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(rows(&database).await, [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(host.terminate(), Some(0));
}

/// What is at work is paused for it, so whoever kills the verb finds it paused, before or after; `reactivate` goes on from there.
#[tokio::test]
async fn a_rewind_that_is_killed_is_done_whole_or_not_at_all() {
    let paused = [
        (Status::Paused(Resume::Active), 3, 1),
        (Status::Paused(Resume::Booting), 0, 2),
    ];
    for (failpoint, paused) in REWIND_FAILPOINTS.into_iter().zip(paused) {
        let (database, modules) = caught_up().await;
        let url = database.url().to_owned();
        let dying = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_projectionist"));
            command.args(["rewind", "--id", ID, "--to", "0", "--yes", "--cache-dir"]);
            command.arg(compiled_modules());
            command.env("DATABASE_URL", url);
            command.env(FAILPOINT_VARIABLE, failpoint);
            command.output().expect("it can be started")
        });
        let died = dying.await.expect("it has ended");
        assert_eq!(died.status.code(), None, "{failpoint}: {died:?}");
        assert_eq!(stands(&database, ID).await, paused, "{failpoint}");
        let kept = if paused.2 == 1 { 3 } else { 0 };
        assert_eq!(rows(&database).await.len(), kept, "{failpoint}");

        let text = shown(&database, &["reactivate", "--id", ID]).await;
        assert!(text.ends_with("exit 0\n"), "{failpoint}: {text}");
        catch_up(&database, &modules).await;

        assert_eq!(stands(&database, ID).await, (Status::Active, 3, paused.2));
        assert_eq!(rows(&database).await, [(1, 1), (2, 2), (3, 3)]);
    }
}
