//! Appending: versions, ids, who waits for whom, and what is refused.

use std::collections::HashSet;

use projectionist::store::{Appended, Error, ExpectedVersion, NewEvent, append};
use serde_json::value::RawValue;
use sqlx::{Connection, Executor};
use uuid::Uuid;

use crate::support::TestDatabase;

fn event(event_type: &str) -> NewEvent {
    NewEvent::new(event_type)
}

fn with_id(event_type: &str, id: Uuid) -> NewEvent {
    NewEvent {
        id: Some(id),
        ..NewEvent::new(event_type)
    }
}

fn versions(appended: &[Appended]) -> Vec<i64> {
    appended.iter().map(|appended| appended.version).collect()
}

#[tokio::test]
async fn numbers_a_stream_from_one() {
    let database = TestDatabase::new().await;
    let store = database.store();

    let first = store
        .append("s", ExpectedVersion::NoStream, &[event("A"), event("B")])
        .await
        .expect("appended");
    let second = store
        .append("s", ExpectedVersion::Exactly(2), &[event("C")])
        .await
        .expect("appended");
    let other = store
        .append("t", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    assert_eq!(versions(&first), [1, 2]);
    assert_eq!(versions(&second), [3]);
    assert_eq!(versions(&other), [1]);
}

#[tokio::test]
async fn gives_positions_in_the_order_of_the_array() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let events: Vec<NewEvent> = (0..500)
        .map(|number| event(&format!("T{number}")))
        .collect();

    let appended = store
        .append("s", ExpectedVersion::Any, &events)
        .await
        .expect("appended");
    let log = database.log().await;

    assert!(appended.is_sorted_by_key(|appended| appended.position));
    let types: Vec<String> = log
        .iter()
        .map(|event| event.event_type().to_owned())
        .collect();
    let given: Vec<String> = events.into_iter().map(|event| event.event_type).collect();
    assert_eq!(types, given);
}

#[tokio::test]
async fn keeps_every_field_as_it_was_given() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let json = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
    let given = NewEvent {
        id: Some(Uuid::from_u128(7)),
        event_type: "Deposited".into(),
        data: json(r#"{ "b": 1.50,   "a": [ ], "b": 2 }"#),
        metadata: json(r#"{"user": "Ådå"}"#),
        causation_id: Some(Uuid::from_u128(8)),
        correlation_id: Some(Uuid::from_u128(9)),
        tags: vec!["vip".into(), "region:nørd, \"}{\\".into()],
        recorded_at: Some(time::macros::datetime!(2011-09-30 22:38:44.546789 UTC)),
    };

    store
        .append("s", ExpectedVersion::Any, std::slice::from_ref(&given))
        .await
        .expect("appended");
    let log = database.log().await;

    let event = &log[0];
    assert_eq!(
        (event.stream(), event.version, event.event_type()),
        ("s", 1, "Deposited")
    );
    assert_eq!(Some(event.id), given.id);
    assert_eq!(
        (event.data(), event.metadata()),
        (given.data.get(), given.metadata.get())
    );
    assert_eq!(
        (event.causation_id, event.correlation_id),
        (given.causation_id, given.correlation_id)
    );
    assert_eq!(event.tags, given.tags);
    assert_eq!(event.recorded_at_micros, 1_317_422_324_546_789);
}

#[tokio::test]
async fn refuses_another_version_than_expected() {
    let database = TestDatabase::new().await;
    let store = database.store();
    store
        .append("s", ExpectedVersion::Any, &[event("A"), event("B")])
        .await
        .expect("appended");

    for (expected, words) in [
        (
            ExpectedVersion::NoStream,
            r#"stream "s" is at version 2, expected was version 0"#,
        ),
        (
            ExpectedVersion::Exactly(1),
            r#"stream "s" is at version 2, expected was version 1"#,
        ),
        (
            ExpectedVersion::Exactly(3),
            r#"stream "s" is at version 2, expected was version 3"#,
        ),
    ] {
        match store.append("s", expected, &[event("C")]).await {
            Err(Error::WrongVersion { message }) => assert_eq!(message, words),
            other => panic!("{expected:?} came to {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_ids_again_change_nothing() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let events = [
        with_id("A", Uuid::from_u128(1)),
        with_id("B", Uuid::from_u128(2)),
    ];

    let first = store
        .append("s", ExpectedVersion::NoStream, &events)
        .await
        .expect("appended");
    store
        .append("s", ExpectedVersion::Any, &[event("C")])
        .await
        .expect("appended");
    let again = store
        .append("s", ExpectedVersion::NoStream, &events)
        .await
        .expect("nothing is new, so nothing is expected");

    assert_eq!(again, first);
}

#[tokio::test]
async fn a_call_that_is_partly_there_appends_the_rest() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let (old, new) = (
        with_id("A", Uuid::from_u128(1)),
        with_id("B", Uuid::from_u128(2)),
    );
    let first = store
        .append("s", ExpectedVersion::NoStream, std::slice::from_ref(&old))
        .await
        .expect("appended");

    let both = store
        .append(
            "s",
            ExpectedVersion::Exactly(1),
            &[new.clone(), old.clone()],
        )
        .await
        .expect("appended");
    let wrong = store
        .append("s", ExpectedVersion::NoStream, &[old, event("C")])
        .await;

    assert_eq!(versions(&both), [2, 1]);
    assert_eq!(both[1], first[0]);
    assert!(
        matches!(wrong, Err(Error::WrongVersion { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn refuses_an_id_of_another_event() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let id = Uuid::from_u128(1);
    store
        .append("s", ExpectedVersion::Any, &[with_id("A", id)])
        .await
        .expect("appended");

    for (stream, event_type) in [("t", "A"), ("s", "B")] {
        let refused = store
            .append(stream, ExpectedVersion::Any, &[with_id(event_type, id)])
            .await;
        assert!(
            matches!(refused, Err(Error::IdTaken { .. })),
            "{stream} {event_type}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn concurrent_appenders_to_one_stream_lose_nothing_and_leave_no_gap() {
    const APPENDERS: usize = 8;
    const CALLS: usize = 25;
    let database = TestDatabase::new().await;
    let store = database.store();

    let appenders = (0..APPENDERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..CALLS {
                store
                    .append("s", ExpectedVersion::Any, &[event("A"), event("B")])
                    .await
                    .expect("appended");
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.expect("an appender");
    }

    let found: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM projectionist.events ORDER BY version")
            .fetch_all(database.pool())
            .await
            .expect("versions");
    let expected: Vec<i64> = (1..=(APPENDERS * CALLS * 2) as i64).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn of_those_who_expect_one_version_one_wins() {
    const APPENDERS: usize = 8;
    let database = TestDatabase::new().await;
    let store = database.store();

    let appenders = (0..APPENDERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .append("s", ExpectedVersion::NoStream, &[event("A")])
                .await
        })
    });
    let mut won = 0;
    for appender in appenders.collect::<Vec<_>>() {
        match appender.await.expect("an appender") {
            Ok(_) => won += 1,
            Err(Error::WrongVersion { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    assert_eq!(won, 1);
}

#[tokio::test]
async fn one_call_made_twice_at_once_appends_once() {
    let database = TestDatabase::new().await;
    let events = [
        with_id("A", Uuid::from_u128(1)),
        with_id("B", Uuid::from_u128(2)),
    ];
    let mut first = database.connect().await;
    let mut transaction = first.begin().await.expect("begun");
    let appended = append::append(&mut transaction, "s", ExpectedVersion::NoStream, &events)
        .await
        .expect("appended");

    let store = database.store();
    let repeated = events.clone();
    let second = tokio::spawn(async move {
        store
            .append("s", ExpectedVersion::NoStream, &repeated)
            .await
    });
    database.until_backends_wait(1).await;
    transaction.commit().await.expect("committed");

    assert_eq!(
        second.await.expect("the second").expect("appended"),
        appended
    );
}

#[tokio::test]
async fn an_appender_takes_the_place_of_one_that_rolled_back() {
    let database = TestDatabase::new().await;
    let mut first = database.connect().await;
    let mut transaction = first.begin().await.expect("begun");
    append::append(
        &mut transaction,
        "s",
        ExpectedVersion::NoStream,
        &[event("A")],
    )
    .await
    .expect("appended");

    let store = database.store();
    let second = tokio::spawn(async move {
        store
            .append("s", ExpectedVersion::NoStream, &[event("B")])
            .await
    });
    database.until_backends_wait(1).await;
    transaction.rollback().await.expect("rolled back");

    assert_eq!(
        versions(&second.await.expect("the second").expect("appended")),
        [1]
    );
}

#[tokio::test]
async fn a_repeatable_reader_that_lost_is_told_to_try_again() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    connection
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .expect("a snapshot");
    database
        .store()
        .append("s", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    let lost = append::append(&mut connection, "s", ExpectedVersion::Any, &[event("B")]).await;

    let Err(Error::Database { source }) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(
        source
            .as_database_error()
            .and_then(|error| error.code())
            .as_deref(),
        Some("40001")
    );
}

#[tokio::test]
async fn appenders_of_different_streams_do_not_wait_for_each_other() {
    let database = TestDatabase::new().await;
    let mut first = database.connect().await;
    let mut transaction = first.begin().await.expect("begun");
    append::append(&mut transaction, "s", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    database
        .store()
        .append("t", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended meanwhile");

    transaction.commit().await.expect("committed");
}

#[tokio::test]
async fn unique_ids_are_made_for_those_who_give_none() {
    let database = TestDatabase::new().await;
    let appended = database
        .store()
        .append("s", ExpectedVersion::Any, &vec![event("A"); 100])
        .await
        .expect("appended");

    let ids: HashSet<Uuid> = appended.iter().map(|appended| appended.id).collect();
    assert_eq!(ids.len(), 100);
}
