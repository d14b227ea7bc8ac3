//! Processors: what they append carries its cause, and is appended once however often the cause is delivered.

use projectionist::engine::{Manner, Notice, StartAt};
use projectionist::store::{ExpectedVersion, NewEvent};
use serde_json::json;
use sqlx::Executor as _;
use uuid::Uuid;

use crate::support::log::{codes, column, event};
use crate::support::{HostProcess, Modules, PATIENCE, TestDatabase, eventually, stepped};

/// A `Done` of the answering guests, with its cause.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Answer {
    id: Uuid,
    stream: String,
    version: i64,
    data: serde_json::Value,
    causation_id: Option<Uuid>,
    correlation_id: Option<Uuid>,
}

async fn answers(database: &TestDatabase) -> Vec<Answer> {
    sqlx::query_as(
        "SELECT id, stream, version, data, causation_id, correlation_id
         FROM projectionist.events WHERE type = 'Done' ORDER BY position",
    )
    .fetch_all(database.pool())
    .await
    .expect("answers")
}

/// Positions of commands that were answered, in the order of the answers.
async fn answered(database: &TestDatabase) -> Vec<i64> {
    let answers = answers(database).await;
    let position = |answer: &Answer| answer.data["command_position"].as_i64();
    answers.iter().filter_map(position).collect()
}

async fn commands(database: &TestDatabase) -> Vec<i64> {
    column(
        database.pool(),
        "SELECT position FROM projectionist.events WHERE type = 'Command' ORDER BY position",
    )
    .await
}

async fn append_commands(database: &TestDatabase, count: usize) {
    let command = event("Command", &json!({}));
    database.append("orders", &vec![command; count]).await;
}

async fn until_all_answered(database: &TestDatabase) {
    let commands = commands(database).await;
    eventually(PATIENCE, async || {
        let answered = answered(database).await;
        match answered.len() >= commands.len() {
            true => Ok(()),
            false => Err(format!("{answered:?} of {commands:?} are answered")),
        }
    })
    .await;
    assert_eq!(answered(database).await, commands, "each once, in order");
}

#[tokio::test]
async fn what_it_appends_carries_cause_and_correlation() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["appends_from_beginning"]);
    let conversation = Uuid::from_u128(7);
    let (plain, correlated) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let command = |id, correlation_id| NewEvent {
        id: Some(id),
        correlation_id,
        ..NewEvent::new("Command")
    };
    let commands = [
        command(plain, None),
        command(correlated, Some(conversation)),
    ];
    database.append("orders", &commands).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let answers = answers(&database).await;
    let said: Vec<_> = answers
        .iter()
        .map(|answer| {
            let place = (answer.stream.as_str(), answer.version);
            (place, answer.causation_id, answer.correlation_id)
        })
        .collect();
    let expected = [
        (("done-orders", 1), Some(plain), Some(plain)),
        (("done-orders", 2), Some(correlated), Some(conversation)),
    ];
    assert_eq!(said, expected);
    assert_eq!(answered(&database).await, [1, 2]);
}

#[tokio::test]
async fn a_cause_that_is_delivered_again_appends_nothing_twice() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["appends_from_beginning"]);
    append_commands(&database, 5).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    let first = answers(&database).await;
    assert_eq!(first.len(), 5);

    // Nobody but a broken restore would do this; it is the same as a redelivery.
    sqlx::raw_sql("UPDATE projectionist.checkpoints SET position = 0")
        .execute(database.pool())
        .await
        .expect("set back");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    assert_eq!(answers(&database).await, first);
    let head = database.store().head().await.expect("a head");
    assert_eq!(database.position("appends_from_beginning").await, head);
}

#[tokio::test]
async fn the_example_plans_each_follow_up_once() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["followups"]));
    let offer = NewEvent {
        recorded_at: Some(time::OffsetDateTime::UNIX_EPOCH),
        ..NewEvent::new("O_SENT")
    };
    database
        .append("application-7", &[NewEvent::new("A_SUBMITTED"), offer])
        .await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");
    host.once().await.expect("caught up");

    let planned: Vec<String> = column(
        database.pool(),
        "SELECT stream || ' ' || type || ' ' || data::text FROM projectionist.events WHERE position > 2",
    )
    .await;
    assert_eq!(
        planned,
        [r#"followup-7 FollowUpPlanned {"application":"7","offer_position":2,"due":"1970-01-15"}"#]
    );
}

#[tokio::test]
async fn from_now_begins_at_the_registration_not_at_the_setup() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["appends"]));
    append_commands(&database, 3).await;
    let mut host = stepped(&database, &modules).await;

    host.scan().await.expect("scanned");
    assert_eq!(database.status("appends").await, "New");
    append_commands(&database, 3).await;
    host.once().await.expect("caught up");

    assert_eq!(answered(&database).await, [4, 5, 6]);
    assert_eq!(database.status("appends").await, "Active");
}

/// Makes every transaction that appends a `Done` wait, at its commit, for whoever holds the gate.
const GATE: &str = "
    CREATE FUNCTION public.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN NULL;
    END $body$;
    CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON projectionist.events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.type = 'Done')
    EXECUTE FUNCTION public.wait_at_the_gate()";

/// The backend that waits at the gate.
async fn waiting(database: &TestDatabase) -> i32 {
    eventually(PATIENCE, async || {
        let waiting: Option<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_optional(database.pool())
        .await
        .expect("locks");
        waiting.ok_or("nobody waits at the gate")
    })
    .await
}

#[tokio::test]
async fn an_append_is_there_once_whatever_ends_its_commit() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["appends_from_beginning"]);
    database.pool().execute(GATE).await.expect("a gate");
    append_commands(&database, 4).await;
    let mut keeper = database.connect().await;
    keeper
        .execute("SELECT pg_advisory_lock(1)")
        .await
        .expect("closed");

    // The transaction is lost after the append, before the commit: the event is delivered again.
    let host = HostProcess::start(database.url(), modules.path());
    let backend = waiting(&database).await;
    sqlx::query("SELECT pg_terminate_backend($1)")
        .bind(backend)
        .execute(&mut keeper)
        .await
        .expect("terminated");
    let other = eventually(PATIENCE, async || match waiting(&database).await {
        same if same == backend => Err("the same backend still waits"),
        other => Ok(other),
    })
    .await;
    assert_eq!(answers(&database).await, []);

    // The host is lost, and nobody hears that the transaction was committed after all.
    host.kill();
    assert_eq!(waiting(&database).await, other);
    keeper
        .execute("SELECT pg_advisory_unlock(1)")
        .await
        .expect("opened");
    eventually(PATIENCE, async || match answers(&database).await.len() {
        0 => Err("nothing is committed"),
        _ => Ok(()),
    })
    .await;

    let _host = HostProcess::start(database.url(), modules.path());
    until_all_answered(&database).await;
}

#[tokio::test]
async fn an_answer_is_appended_to_whatever_version_its_stream_has() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["appends_from_beginning"]);
    let _host = HostProcess::start(database.url(), modules.path());
    let store = database.store();

    for _ in 0..20 {
        append_commands(&database, 2).await;
        // Somebody else writes to the stream of the answers at the same time.
        let other = [event("Other", &json!({}))];
        store
            .append("done-orders", ExpectedVersion::Any, &other)
            .await
            .expect("appended");
    }

    until_all_answered(&database).await;
}

#[tokio::test]
async fn while_it_goes_through_history_it_is_told_that_it_is_not_live() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["tells_live"]));
    database.append_ticks(5).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");
    assert_eq!(database.status("tells_live").await, "Active");
    database.append_ticks(3).await;
    host.once().await.expect("caught up");

    let seen = database.until_all_seen_once("tells_live").await;
    assert_eq!(codes(&seen[..5]), ["history"]);
    assert_eq!(codes(&seen[5..]), ["live"]);
}

#[tokio::test]
async fn without_ids_of_its_events_nothing_is_appended() {
    const ID: &str = "appends_without_ids";
    let (database, modules) = (TestDatabase::new().await, Modules::with(&[ID]));
    append_commands(&database, 1).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let error = database.error(ID).await.expect("an error");
    assert!(error.message.contains("event-parts"), "{}", error.message);
    assert!(answers(&database).await.is_empty());
}

#[tokio::test]
async fn one_that_begins_now_is_live_from_its_first_event() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["tells_live"]));
    database.append_ticks(2).await;
    let mut host = stepped(&database, &modules).await;
    host.register().await.expect("registered");
    let ids = ["tells_live".to_owned()];
    host.set_up(&ids, StartAt::Now, Manner::SkipBoot)
        .await
        .expect("set up");
    database.append_ticks(2).await;

    host.once().await.expect("caught up");

    let seen = database.seen("tells_live").await.expect("rows");
    assert_eq!(
        seen.iter().map(|row| row.position).collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(codes(&seen), ["live"]);
}

#[tokio::test]
async fn a_processor_is_given_a_transaction_for_each_event() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["tells_live"]));
    modules.put("records.wasm", "records");
    database.append_ticks(7).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let transactions = "SELECT count(DISTINCT xmin::text) FROM tells_live.seen
                        UNION ALL SELECT count(DISTINCT xmin::text) FROM records_1.seen";
    let transactions: Vec<i64> = column(database.pool(), transactions).await;
    assert_eq!(transactions, [7, 1], "a projector's batch is one");
}

#[tokio::test]
async fn after_a_failure_many_events_are_delivered_again_one_at_a_time() {
    const ID: &str = "reacts_until_poison";
    let (database, modules) = (TestDatabase::new().await, Modules::with(&[ID]));
    append_commands(&database, 6).await;
    database.append("orders", &[NewEvent::new("Poison")]).await;
    append_commands(&database, 6).await;
    let mut host = stepped(&database, &modules).await;
    let mut notices = host.notices();

    host.once().await.expect("caught up");

    let error = database.error(ID).await.expect("an error");
    assert_eq!((error.position, error.attempts), (Some(7), 1));
    assert_eq!(database.position(ID).await, 6);
    assert_eq!(
        answered(&database).await,
        [1, 2, 3, 4, 5, 6],
        "what precedes it is kept"
    );
    let mut committed = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Committed { events, .. } = notice {
            committed.push(events);
        }
    }
    assert_eq!(committed, [1; 6]);
}
