//! What the log itself insists on, whoever speaks to it: what is an event, that it stays, how it rings.

use projectionist::store::{ExpectedVersion, NewEvent, append};
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool};

use crate::support::TestDatabase;

fn event(event_type: &str) -> NewEvent {
    NewEvent::new(event_type)
}

/// The SQLSTATE and the words of a refusal by the function itself.
async fn refusal(pool: &PgPool, arguments: &str) -> String {
    let statement = format!("SELECT * FROM projectionist.append({arguments})");
    let error = pool
        .execute(AssertSqlSafe(statement))
        .await
        .expect_err("refused");
    let error = error
        .as_database_error()
        .expect("an answer of the database");
    format!("{}: {}", error.code().unwrap_or_default(), error.message())
}

#[tokio::test]
async fn events_are_immutable() {
    let database = TestDatabase::new().await;
    database
        .store()
        .append("s", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    for statement in [
        "UPDATE projectionist.events SET type = 'B'",
        "DELETE FROM projectionist.events",
        "TRUNCATE projectionist.events",
        "SET session_replication_role = replica; DELETE FROM projectionist.events",
    ] {
        let error = database
            .connect()
            .await
            .execute(statement)
            .await
            .expect_err(statement);
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .map(|code| code.into_owned());
        assert_eq!(code.as_deref(), Some("PJ003"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn a_durable_commit_is_forced_on_appenders() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    connection
        .execute("SET synchronous_commit = off")
        .await
        .expect("set");
    let mut transaction = connection.begin().await.expect("begun");

    append::append(&mut transaction, "s", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    let setting: String = sqlx::query_scalar("SHOW synchronous_commit")
        .fetch_one(&mut *transaction)
        .await
        .expect("a setting");
    assert_eq!(setting, "on");
    transaction.commit().await.expect("committed");
    let after: String = sqlx::query_scalar("SHOW synchronous_commit")
        .fetch_one(&mut connection)
        .await
        .expect("a setting");
    assert_eq!(after, "off");
}

#[tokio::test]
async fn needs_no_privilege_on_the_table() {
    let database = TestDatabase::new().await;
    let mut application = database.application().await;

    append::append(
        &mut application.connection,
        "s",
        ExpectedVersion::Any,
        &[event("A")],
    )
    .await
    .expect("appended");
    let direct = application
        .connection
        .execute("INSERT INTO projectionist.events (stream, version, type) VALUES ('s', 2, 'A')")
        .await;

    assert!(direct.is_err());
    application.leave().await;
}

#[tokio::test]
async fn says_which_event_is_malformed_and_why() {
    let database = TestDatabase::new().await;
    let long = |length: usize| "x".repeat(length);
    let cases = [
        "'', NULL, '[]'".to_owned(),
        "NULL, NULL, '[]'".to_owned(),
        "'all-*', NULL, '[]'".to_owned(),
        format!("'{}', NULL, '[]'", long(513)),
        "'s', -1, '[]'".to_owned(),
        "'s', NULL, NULL".to_owned(),
        "'s', NULL, '{}'".to_owned(),
        r#"'s', NULL, '[{"type": "A"}, 7]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A"}, {}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": ""}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": 7}]'"#.to_owned(),
        format!(r#"'s', NULL, '[{{"type": "{}"}}]'"#, long(256)),
        r#"'s', NULL, '[{"type": "A", "typ": "B"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "id": "17"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "causation_id": 17}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "metadata": []}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "tags": "vip"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "tags": ["vip", 7]}]'"#.to_owned(),
        format!(r#"'s', NULL, '[{{"type": "A", "tags": ["{}"]}}]'"#, long(2049)),
        r#"'s', NULL, '[{"type": "A", "recorded_at": "yesterday"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "recorded_at": "2023-02-29T00:00:00Z"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "recorded_at": "2023-02-28T00:00:00"}]'"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "data": "\u0000"}]'"#.to_owned(),
        r#"'s', NULL, json_build_array(json_build_object('type', 'A', 'data', repeat('x', 8388608)))"#.to_owned(),
        r#"'s', NULL, json_build_array(json_build_object('type', 'A', 'metadata', json_build_object('x', repeat('x', 1048576))))"#.to_owned(),
        r#"'s', NULL, '[{"type": "A", "id": "00000000-0000-0000-0000-000000000001"}, {"type": "A", "id": "00000000000000000000000000000001"}]'"#.to_owned(),
    ];
    let mut refusals = Vec::new();
    for case in &cases {
        refusals.push(refusal(database.pool(), case).await);
    }
    insta::assert_snapshot!(refusals.join("\n"));
}

#[tokio::test]
async fn the_table_itself_refuses_what_is_no_event() {
    let database = TestDatabase::new().await;
    let mut refused = Vec::new();
    for (column, value) in [
        ("position", "0"),
        ("stream", "''"),
        ("stream", "'a*'"),
        ("stream", "repeat('x', 513)"),
        ("version", "0"),
        ("type", "''"),
        ("type", "repeat('x', 256)"),
        ("data", "to_json(repeat('x', 8388608))"),
        ("metadata", "'[]'"),
        ("metadata", "json_build_object('x', repeat('x', 1048576))"),
        ("tags", "ARRAY[NULL]"),
        ("tags", "ARRAY[['a'], ['b']]"),
        ("tags", "ARRAY[repeat('x', 2049)]"),
    ] {
        let mut columns = vec![("stream", "'s'"), ("version", "1"), ("type", "'A'")];
        columns.retain(|(name, _)| *name != column);
        columns.push((column, value));
        let (names, values): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
        let statement = format!(
            "INSERT INTO projectionist.events ({}) VALUES ({})",
            names.join(", "),
            values.join(", ")
        );
        let error = database
            .pool()
            .execute(AssertSqlSafe(statement))
            .await
            .expect_err(value);
        let constraint = error
            .as_database_error()
            .and_then(|error| error.constraint())
            .map(str::to_owned);
        refused.push(format!(
            "{column} = {value}: {}",
            constraint.unwrap_or_else(|| error.to_string())
        ));
    }
    insta::assert_snapshot!(refused.join("\n"));
}

#[tokio::test]
async fn rings_only_while_somebody_sleeps_and_the_bell_is_not_silenced() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let mut listener = sqlx::postgres::PgListener::connect(database.url())
        .await
        .expect("a listener");
    listener
        .listen("projectionist_events")
        .await
        .expect("listening");
    let arm = "SELECT setval('projectionist.bell', (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 60000)";

    store
        .append("awake", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");
    database.pool().execute(arm).await.expect("armed");
    let mut quiet = database.connect().await;
    quiet
        .execute("SET projectionist.bell = 'off'")
        .await
        .expect("silenced");
    append::append(&mut quiet, "silenced", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");
    // Hints of one connection come in order: what arrives first tells whether the ones before were sent.
    database
        .pool()
        .execute("NOTIFY projectionist_events, 'the test'")
        .await
        .expect("notified");
    store
        .append("rung", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");

    assert_eq!(listener.recv().await.expect("a hint").payload(), "the test");
    assert_eq!(listener.recv().await.expect("a hint").payload(), "said");
}

#[tokio::test]
async fn a_silenced_appender_can_prepare_its_transaction() {
    let database = TestDatabase::new().await;
    let arm = "SELECT setval('projectionist.bell', (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 60000)";
    database.pool().execute(arm).await.expect("armed");
    let mut connection = database.connect().await;

    connection
        .execute("BEGIN; SET LOCAL projectionist.bell = 'off'")
        .await
        .expect("begun");
    append::append(&mut connection, "s", ExpectedVersion::Any, &[event("A")])
        .await
        .expect("appended");
    connection
        .execute("PREPARE TRANSACTION 'appended'")
        .await
        .expect("prepared");
    connection
        .execute("COMMIT PREPARED 'appended'")
        .await
        .expect("committed");

    assert_eq!(database.store().head().await.expect("a head"), 1);
}
