//! Guests that fail: what is committed, what is written down, and when it is tried again.

use std::time::Duration;

use projectionist::admin;
use projectionist::engine::{Host, Notice, Options};
use projectionist::store::{LaneError, NewEvent};
use serde_json::json;
use subscription::ErrorClass;

use crate::support::log::{assert_once, column, event, only};
use crate::support::{InProcess, Modules, TestDatabase, stepped};

/// More than any retry waits.
const LONG: Duration = Duration::from_secs(60 * 60);

async fn catch_up(host: &mut Host) {
    host.once().await.expect("caught up");
}

/// What holds it up, which something does.
async fn error_of(database: &TestDatabase, id: &str) -> LaneError {
    match database.error(id).await {
        Some(error) => error,
        None => panic!("{id} has no error; it is {}", database.status(id).await),
    }
}

#[tokio::test]
async fn a_failing_setup_is_an_error_and_tried_again() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_in_setup"]),
    );
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;
    let first = error_of(&database, "fails_in_setup_1").await;
    assert_eq!(database.status("fails_in_setup_1").await, "Error(New)");
    catch_up(&mut host).await;
    let unchanged = error_of(&database, "fails_in_setup_1").await;
    host.advance_clock(LONG);
    catch_up(&mut host).await;
    let second = error_of(&database, "fails_in_setup_1").await;

    assert_eq!(
        (first.class, first.position),
        (ErrorClass::GuestFailed, None)
    );
    insta::assert_snapshot!(first.message, @"setup does not want to");
    assert!(first.retry_at.is_some());
    let attempts = [first.attempts, unchanged.attempts, second.attempts];
    assert_eq!(attempts, [1, 1, 2]);
    let tables: Vec<String> = column(
        database.pool(),
        "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = 'fails_in_setup_1'",
    )
    .await;
    assert_eq!(tables, [""; 0], "nothing of a failed setup stays");
}

#[tokio::test]
async fn a_failing_event_is_tried_again_with_growing_delays_until_an_operator_must_act() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    let mut host = stepped(&database, &modules).await;
    let mut notices = host.notices();
    database.append_ticks(5).await;
    let poison = database.append("s", &[NewEvent::new("Poison")]).await[0].position;
    database.append_ticks(5).await;

    let mut delays_s = Vec::new();
    for attempt in 1..=6 {
        catch_up(&mut host).await;
        let error = error_of(&database, "traps_on_poison_1").await;
        assert_eq!((error.class, error.attempts), (ErrorClass::Trap, attempt));
        assert_eq!(error.position, Some(poison));
        while let Ok(notice) = notices.try_recv() {
            if let Notice::Failed { retry_after_ms, .. } = notice {
                delays_s.push(retry_after_ms.map(|ms| ms / 1_000));
            }
        }
        // Not a moment too early.
        catch_up(&mut host).await;
        assert_eq!(
            error_of(&database, "traps_on_poison_1").await.attempts,
            attempt
        );
        host.advance_clock(Duration::from_secs(5 << (attempt - 1)));
    }

    assert_eq!(
        delays_s,
        [Some(5), Some(10), Some(20), Some(40), Some(80), None]
    );
    host.advance_clock(LONG);
    catch_up(&mut host).await;
    let error = error_of(&database, "traps_on_poison_1").await;
    assert_eq!((error.attempts, error.retry_at), (6, None));
    let message = error.message.split_once("panicked at").expect("a panic").1;
    assert!(message.ends_with(": fell at position 6"), "{message}");
    let backtrace = error.backtrace.expect("a backtrace");
    assert!(backtrace.contains("panic_fmt"), "{backtrace}");
    assert_eq!(database.status("traps_on_poison_1").await, "Error(Booting)");
}

#[tokio::test]
async fn what_precedes_a_trapping_event_is_committed_and_that_event_alone_is_named() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    database.append_ticks(1_300).await;
    let poison = database.append("s", &[NewEvent::new("Poison")]).await[0].position;
    database.append_ticks(700).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let error = error_of(&database, "traps_on_poison_1").await;
    assert_eq!(
        (error.position, error.event_type.as_deref()),
        (Some(poison), Some("Poison"))
    );
    assert_eq!(error.attempts, 1, "looking for it costs no attempt");
    assert_eq!(database.position("traps_on_poison_1").await, poison - 1);
    let before: Vec<i64> = (1..poison).collect();
    assert_once(
        &before,
        &database.seen("traps_on_poison_1").await.expect("rows"),
    );
}

#[tokio::test]
async fn an_operator_may_let_it_try_again_with_a_fresh_count() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    modules.put_bytes("traps_on_poison.toml", b"[retry]\nattempts = 0\n");
    database.append("s", &[NewEvent::new("Poison")]).await;
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    let first = error_of(&database, "traps_on_poison_1").await;
    assert_eq!(
        (first.attempts, first.retry_at),
        (1, None),
        "the operator's policy counts"
    );

    admin::reactivate(&database.store(), &only("traps_on_poison_1"))
        .await
        .expect("reactivated");
    catch_up(&mut host).await;

    let again = error_of(&database, "traps_on_poison_1").await;
    assert_eq!(again.attempts, 1);
    assert!(again.failed_at > first.failed_at);
}

/// A `Poison` for the guest that fails as it is told.
fn poison(verdict: &serde_json::Value) -> NewEvent {
    event("Poison", verdict)
}

#[tokio::test]
async fn an_event_that_the_guest_wants_to_retry_is_retried_when_it_wants() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_on_poison"]),
    );
    database.append_ticks(7).await;
    let bad = poison(&json!({"verdict": "retry", "delay_ms": 90_000, "until_attempt": 3}));
    database.append("s", &[bad]).await;
    database.append_ticks(7).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let error = error_of(&database, "fails_on_poison_1").await;
    assert_eq!(
        (error.class, error.position, error.attempts),
        (ErrorClass::GuestFailed, Some(8), 1)
    );
    assert_eq!(error.message, "poison at position 8\n  attempt: 1");
    assert_eq!(database.until_seen("fails_on_poison_1", 7).await.len(), 7);
    host.advance_clock(Duration::from_secs(80));
    catch_up(&mut host).await;
    assert_eq!(
        error_of(&database, "fails_on_poison_1").await.attempts,
        1,
        "too early"
    );
    host.advance_clock(Duration::from_secs(10));
    catch_up(&mut host).await;
    assert_eq!(error_of(&database, "fails_on_poison_1").await.attempts, 2);
    host.advance_clock(Duration::from_secs(90));
    catch_up(&mut host).await;
    database.until_all_seen_once("fails_on_poison_1").await;
    assert_eq!(database.status("fails_on_poison_1").await, "Active");
    assert!(
        database.error("fails_on_poison_1").await.is_none(),
        "it is forgotten"
    );
}

#[tokio::test]
async fn events_that_the_guest_wants_to_skip_are_skipped_and_recorded() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_on_poison"]),
    );
    let skip = || poison(&json!({"verdict": "skip"}));
    database.append("s", &[skip()]).await;
    database.append_ticks(7).await;
    database.append("s", &[skip(), skip()]).await;
    database.append_ticks(7).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let good: Vec<i64> = (1..=17)
        .filter(|position| ![1, 9, 10].contains(position))
        .collect();
    assert_once(
        &good,
        &database.seen("fails_on_poison_1").await.expect("rows"),
    );
    let skipped: Vec<String> = column(
        database.pool(),
        "SELECT position || ' by ' || skipped_by || ': ' || split_part(reason, chr(10), 1)
         FROM projectionist.skipped_events ORDER BY position",
    )
    .await;
    assert_eq!(
        skipped,
        [
            "1 by guest: poison at position 1",
            "9 by guest: poison at position 9",
            "10 by guest: poison at position 10"
        ]
    );
    assert_eq!(database.status("fails_on_poison_1").await, "Active");
    assert!(database.error("fails_on_poison_1").await.is_none());
}

#[tokio::test]
async fn a_guest_that_wants_to_stop_waits_for_an_operator() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_on_poison"]),
    );
    database.append_ticks(2).await;
    database
        .append("s", &[poison(&json!({"verdict": "stop"}))])
        .await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;
    host.advance_clock(LONG);
    catch_up(&mut host).await;

    let error = error_of(&database, "fails_on_poison_1").await;
    assert_eq!(
        (error.attempts, error.retry_at, error.position),
        (1, None, Some(3))
    );
    assert_eq!(database.until_seen("fails_on_poison_1", 2).await.len(), 2);
}

#[tokio::test]
async fn a_guest_that_does_not_come_back_is_ended_at_its_deadline() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["loops_in_handle"]),
    );
    modules.put_bytes(
        "loops_in_handle.toml",
        b"[limits]\nhandle-timeout-ms = 200\n",
    );
    database.append_ticks(1).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let error = error_of(&database, "loops_in_handle_1").await;
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Deadline, Some(1))
    );
    insta::assert_snapshot!(error.message, @"the guest did not return within 200 ms, its limit for handle (handle-timeout-ms under [limits] in the file beside the module)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_come_back_delays_nobody_else() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["loops_in_handle"]),
    );
    modules.put_bytes(
        "loops_in_handle.toml",
        b"[limits]\nhandle-timeout-ms = 50000\n",
    );
    modules.put("records.wasm", "records");
    let short = |options| Options {
        drain: Duration::from_millis(50),
        ..options
    };
    let host = InProcess::start_with(&database, &modules, short).await;
    database.until_status("loops_in_handle_1", "Active").await;
    database.append_ticks(1).await;
    database.until_in_a_batch("loops_in_handle_1").await;

    for _ in 0..5 {
        database.append_ticks(1).await;
        database.until_all_seen_once("records_1").await;
    }

    assert!(
        database.in_a_batch("loops_in_handle_1").await,
        "it still loops"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_guest_that_wants_all_memory_is_ended_at_its_limit() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["allocates_without_end"]),
    );
    modules.put_bytes("allocates_without_end.toml", b"[limits]\nmemory-mib = 32\n");
    database.append_ticks(1).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let error = error_of(&database, "allocates_without_end_1").await;
    assert_eq!((error.class, error.position), (ErrorClass::Memory, Some(1)));
    insta::assert_snapshot!(error.message, @"the guest asked for 33 MiB of memory, more than its limit of 32 MiB (memory-mib under [limits] in the file beside the module)");
}

#[tokio::test]
async fn a_guest_cannot_end_the_transaction_of_its_batch() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["commits_itself"]),
    );
    database.append_ticks(2).await;
    let mut host = stepped(&database, &modules).await;

    catch_up(&mut host).await;

    let error = error_of(&database, "commits_itself_1").await;
    assert_eq!((error.class, error.position), (ErrorClass::Sql, Some(1)));
    insta::assert_snapshot!(error.message);
    assert_eq!(database.seen("commits_itself_1").await.expect("rows"), []);
    assert_eq!(database.position("commits_itself_1").await, 0);
}

#[tokio::test]
async fn new_code_mends_what_the_old_code_could_not() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(3).await;
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    sqlx::raw_sql("ALTER TABLE records_1.seen ADD CONSTRAINT no_a CHECK (code <> 'a') NOT VALID")
        .execute(database.pool())
        .await
        .expect("altered");
    database.append_ticks(3).await;
    catch_up(&mut host).await;
    assert_eq!(database.status("records_1").await, "Error(Active)");

    modules.put("records.wasm", "records_changed");
    catch_up(&mut host).await;

    database.until_all_seen_once("records_1").await;
    assert_eq!(database.status("records_1").await, "Active");
    assert!(database.error("records_1").await.is_none());
}
