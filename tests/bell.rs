//! Appenders ring while a host sleeps, and only then; no ring is lost on the way to sleep.

use std::time::Duration;

use projectionist::engine::horizon_task;
use projectionist::store::{Hint, Listener, RecordedEvent};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, TestDatabase, Writer, eventually};

const LONG: Duration = Duration::from_secs(600);

/// A listener that listens.
async fn listening(database: &TestDatabase) -> Listener {
    let listener = database.store().listen();
    heard(&mut listener.events(), "the listener has connected").await;
    listener
}

async fn heard(hint: &mut Hint, why: &str) {
    tokio::time::timeout(PATIENCE, hint.heard())
        .await
        .expect(why);
}

async fn is_silent(hint: &mut Hint) -> bool {
    tokio::time::timeout(Duration::ZERO, hint.heard())
        .await
        .is_err()
}

/// Rings the other channel and waits for it: what was rung before has arrived then, too.
async fn flush(database: &TestDatabase, listener: &Listener) {
    let mut control = listener.control();
    control.register();
    sqlx::raw_sql("NOTIFY projectionist_control")
        .execute(database.pool())
        .await
        .expect("rung");
    heard(&mut control, "the other channel").await;
}

async fn armed_until(database: &TestDatabase) -> i64 {
    let read = "SELECT last_value FROM projectionist.bell";
    sqlx::query_scalar(read)
        .fetch_one(database.pool())
        .await
        .expect("the bell")
}

#[tokio::test]
async fn nobody_rings_while_all_are_awake() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let mut events = listener.events();
    events.register();
    Writer::write_one(&database).await;
    flush(&database, &listener).await;
    assert!(is_silent(&mut events).await);
}

#[tokio::test]
async fn an_appender_with_an_old_snapshot_rings_too() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let mut events = listener.events();
    let mut appender = Writer::begin(&database).await;
    appender
        .execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM projectionist.events",
        )
        .await;
    events.register();
    database.store().arm_bell(LONG).await.expect("armed");
    let position = appender.take().await;
    appender.insert(position).await;
    appender.commit().await;
    heard(
        &mut events,
        "the ring of an appender that began before the bell was armed",
    )
    .await;
}

/// What has come to a listener when something was appended while the bell is armed.
async fn rung(database: &TestDatabase, append: impl AsyncFnOnce()) -> Hint {
    let listener = listening(database).await;
    let mut events = listener.events();
    database.store().arm_bell(LONG).await.expect("armed");
    events.register();
    append().await;
    flush(database, &listener).await;
    events
}

/// The events that it is told; `None` if it has to look.
async fn said(database: &TestDatabase, append: impl AsyncFnOnce()) -> Option<Vec<RecordedEvent>> {
    let mut events = rung(database, append).await;
    heard(&mut events, "a ring").await;
    events.said()
}

#[tokio::test]
async fn an_event_that_comes_alone_is_said_as_the_log_has_it() {
    let database = TestDatabase::new().await;
    let odd = r#"[{"type": "Ölpreis \"heute\"", "data":  { "b" : 1.0,"a":"\u00e4\\" , "b":2 }, "metadata": {"by": "me\ttoo"},
        "id": "0b3a7a5c-3a0e-4f57-9d1c-2f1f6c1d2e3f", "causation_id": "1b3a7a5c-3a0e-4f57-9d1c-2f1f6c1d2e3f",
        "correlation_id": "2b3a7a5c-3a0e-4f57-9d1c-2f1f6c1d2e3f", "tags": ["x", "y, \"z\""], "recorded_at": "1969-07-20T20:17:40.123456Z"}]"#;
    let plain = r#"[{"type": "Plain"}]"#;
    let said = said(&database, async || {
        for events in [odd, plain] {
            sqlx::query("SELECT FROM projectionist.append('strom-\"1\"', NULL, $1::text::json)")
                .bind(events)
                .execute(database.pool())
                .await
                .expect("appended");
        }
    })
    .await;
    assert_eq!(said, Some(database.log().await));
}

#[tokio::test]
async fn what_is_not_said_is_looked_for() {
    let database = TestDatabase::new().await;
    let event = |data: &str| crate::support::log::event("Rung", &serde_json::json!(data));
    let long = "x".repeat(8000);
    for events in [vec![event("a"), event("b")], vec![event(&long)]] {
        let said = said(&database, async || {
            database.append("a", &events).await;
        });
        assert_eq!(said.await, None);
    }
    let inserted = said(&database, async || {
        Writer::write_one(&database).await;
    });
    assert_eq!(inserted.await, None);
    // Whoever knows the channel that everybody knows can ask for a look, and no more.
    let forged = r#"[1, "0b3a7a5c-3a0e-4f57-9d1c-2f1f6c1d2e3f", "a", 1, "Forged", 0, "{}", "{}", null, null, []]"#;
    for payload in ["", forged] {
        let rung = said(&database, async || {
            sqlx::query("SELECT pg_notify('projectionist_events', $1)")
                .bind(payload)
                .execute(database.pool())
                .await
                .expect("rung");
        });
        assert_eq!(rung.await, None);
    }
}

#[tokio::test]
async fn an_event_is_said_whoever_appends_it_and_only_hosts_know_where() {
    let database = TestDatabase::new().await;
    let mut application = database.application().await;
    let said = said(&database, async || {
        let append = r#"SELECT FROM projectionist.append('a', 0, '[{"type": "A"}]')"#;
        sqlx::raw_sql(append)
            .execute(&mut application.connection)
            .await
            .expect("appended");
    });
    assert_eq!(said.await.map(|events| events.len()), Some(1));
    for hidden in [
        "SELECT channel FROM projectionist.ring",
        "SELECT projectionist.say(1)",
    ] {
        let refused = sqlx::raw_sql(hidden)
            .execute(&mut application.connection)
            .await;
        let refused = refused.expect_err(hidden).to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }
    application.leave().await;
}

#[tokio::test]
async fn a_silenced_appender_says_nothing() {
    let database = TestDatabase::new().await;
    let silenced = r#"BEGIN; SET LOCAL projectionist.bell = 'off';
        SELECT FROM projectionist.append('a', 0, '[{"type": "A"}]'); COMMIT"#;
    let mut events = rung(&database, async || {
        sqlx::raw_sql(silenced)
            .execute(database.pool())
            .await
            .expect("appended");
    })
    .await;
    assert!(is_silent(&mut events).await);
}

#[tokio::test]
async fn an_appender_that_was_too_early_for_the_bell_is_still_a_holder() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let (mut early, _) = Writer::open(&database).await;
    let mut events = listener.events();
    events.register();
    database.store().arm_bell(LONG).await.expect("armed");
    let holders = database.store().holders().await.expect("holders");
    assert_eq!(
        holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(),
        [Some(early.pid().await)]
    );
    early.commit().await;
    flush(&database, &listener).await;
    assert!(
        is_silent(&mut events).await,
        "it does not ring, so whoever goes to sleep has to look at holders"
    );
}

#[tokio::test]
async fn a_silenced_appender_can_be_prepared() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let mut events = listener.events();
    events.register();
    database.store().arm_bell(LONG).await.expect("armed");
    let mut appender = Writer::begin(&database).await;
    appender
        .execute("SET LOCAL projectionist.bell = 'off'")
        .await;
    let position = appender.take().await;
    appender.insert(position).await;
    let gid = format!("bell-{}", uuid::Uuid::new_v4());
    appender.prepare(&gid).await;
    Writer::commit_prepared(&database, &gid).await;
    flush(&database, &listener).await;
    assert!(is_silent(&mut events).await);
}

#[tokio::test]
async fn arming_never_shortens_the_sleep_of_another_host() {
    let database = TestDatabase::new().await;
    database.store().arm_bell(LONG).await.expect("armed");
    let armed = armed_until(&database).await;
    database
        .store()
        .arm_bell(Duration::from_secs(1))
        .await
        .expect("armed");
    let now = armed_until(&database).await;
    assert!(now >= armed, "armed until {armed}, then until {now}");
}

#[tokio::test]
async fn who_is_awake_again_silences_the_bell_unless_another_sleeps() {
    let database = TestDatabase::new().await;
    let (store, before) = (database.store(), armed_until(&database).await);
    let first = store.arm_bell(LONG).await.expect("armed");
    let again = store
        .arm_bell(LONG)
        .await
        .expect("armed")
        .after(Some(first));
    store.disarm_bell(again).await.expect("silenced");
    assert_eq!(armed_until(&database).await, before);

    let one = store.arm_bell(LONG).await.expect("armed");
    store.arm_bell(LONG).await.expect("armed");
    let both = armed_until(&database).await;
    store.disarm_bell(one).await.expect("not silenced");
    assert_eq!(armed_until(&database).await, both, "the other one sleeps");
}

#[tokio::test]
async fn a_listener_that_lost_its_connection_rings_and_listens_again() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let mut events = listener.events();
    events.register();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    sqlx::raw_sql(end)
        .execute(&mut database.connect().await)
        .await
        .expect("ended");
    heard(&mut events, "the ring after a lost connection").await;
    events.register();
    database.store().arm_bell(LONG).await.expect("armed");
    Writer::write_one(&database).await;
    heard(&mut events, "a ring over the new connection").await;
}

#[tokio::test]
async fn the_horizon_is_followed_awake_and_asleep() {
    let database = TestDatabase::new().await;
    let listener = database.store().listen();
    let stop = CancellationToken::new();
    let mut horizon = horizon_task::spawn(database.store(), listener.events(), stop.clone());
    for _ in 0..3 {
        let position = Writer::write_one(&database).await;
        horizon
            .wait_for(|horizon| *horizon == Some(position))
            .await
            .expect("the task runs");
        eventually(PATIENCE, async || {
            let now: i64 = sqlx::query_scalar(
                "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            )
            .fetch_one(database.pool())
            .await
            .expect("the time");
            match armed_until(&database).await {
                armed if armed > now => Ok(()),
                armed => Err(format!("armed until {armed}, now {now}")),
            }
        })
        .await;
    }
    stop.cancel();
    horizon
        .wait_for(|_| false)
        .await
        .expect_err("the task ends when it is told to");
}

/// To silence the bell, to look for more and to arm it again would be more work than the event is.
#[tokio::test]
async fn events_that_come_one_at_a_time_leave_the_bell_armed() {
    const READS: usize = 50;
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let mut horizon = horizon_task::spawn(
        database.store(),
        listener.events(),
        CancellationToken::new(),
    );
    let mut before = armed_until(&database).await;
    for _ in 0..2 {
        // Far enough from the event before.
        eventually(PATIENCE, async || match armed_until(&database).await {
            armed if armed > before => Ok(()),
            armed => Err(format!("armed until {armed}")),
        })
        .await;
        before = armed_until(&database).await;
        let position = Writer::write_one(&database).await;
        horizon
            .wait_for(|horizon| *horizon == Some(position))
            .await
            .expect("the task runs");
        for _ in 0..READS {
            let armed = armed_until(&database).await;
            assert!(armed >= before, "armed until {armed}, not {before}");
        }
    }
}

#[tokio::test]
async fn events_that_come_close_together_silence_the_bell() {
    let database = TestDatabase::new().await;
    let listener = listening(&database).await;
    let _horizon = horizon_task::spawn(
        database.store(),
        listener.events(),
        CancellationToken::new(),
    );
    let silent = "SELECT last_value < floor(extract(epoch FROM clock_timestamp()) * 1000) FROM projectionist.bell";
    let event = [crate::support::log::event("Rung", &serde_json::json!({}))];
    let began = std::time::Instant::now();
    eventually(PATIENCE, async || match armed_until(&database).await {
        0 => Err("never armed".to_owned()),
        _ => Ok(()),
    })
    .await;
    loop {
        tokio::join!(database.append("a", &event), database.append("b", &event));
        let is_silent: bool = sqlx::query_scalar(silent)
            .fetch_one(database.pool())
            .await
            .expect("the bell");
        if is_silent {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "they still ring");
    }
}

#[tokio::test]
async fn the_tick_finds_what_nobody_rang_for() {
    let database = TestDatabase::new().await;
    let (_ringer, never) = Hint::new();
    let mut horizon = horizon_task::spawn(database.store(), never, CancellationToken::new());
    for _ in 0..2 {
        let position = Writer::write_one(&database).await;
        let found = horizon.wait_for(|horizon| *horizon == Some(position));
        tokio::time::timeout(PATIENCE, found)
            .await
            .expect("in time")
            .expect("the task runs");
    }
}
