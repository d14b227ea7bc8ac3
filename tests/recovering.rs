//! Guests that are asked what becomes of an event at which they broke down: what they decide, and what they cannot do then.

use std::time::Duration;

use projectionist::engine::Host;
use projectionist::store::NewEvent;
use serde_json::{Value, json};
use subscription::ErrorClass;

use crate::support::log::{column, event};
use crate::support::{Modules, TestDatabase, stepped};

const ID: &str = "recovers_on_poison";

/// A log with a poisoned event in its middle, at position 6, and a host that has met it once.
struct Met {
    database: TestDatabase,
    host: Host,
    _modules: Modules,
}

impl Met {
    async fn poison(data: Value) -> Met {
        let (database, modules) = (TestDatabase::new().await, Modules::with(&[ID]));
        modules.put_bytes(
            "recovers_on_poison.toml",
            b"[limits]\nhandle-timeout-ms = 300\nmemory-mib = 32\n",
        );
        database.append_ticks(5).await;
        database.append("s", &[event("Poison", &data)]).await;
        database.append_ticks(5).await;
        let host = stepped(&database, &modules).await;
        let mut met = Met {
            database,
            host,
            _modules: modules,
        };
        met.catch_up().await;
        met
    }

    async fn catch_up(&mut self) {
        self.host.once().await.expect("caught up");
    }

    /// Class, attempts, and whether a retry is due at all.
    async fn standing(&self) -> (ErrorClass, i32, bool) {
        let error = self.database.error(ID).await.expect("an error");
        assert_eq!(error.position, Some(6));
        (error.class, error.attempts, error.retry_at.is_some())
    }

    async fn message(&self) -> String {
        self.database.error(ID).await.expect("an error").message
    }

    /// Rows of ticks and poison that are there.
    async fn rows(&self) -> (usize, usize) {
        let seen = self.database.seen(ID).await.expect("rows");
        let poison = seen.iter().filter(|row| row.code == "poison").count();
        (seen.len() - poison, poison)
    }

    async fn skipped(&self) -> Vec<String> {
        column(
            self.database.pool(),
            "SELECT position || ' by ' || skipped_by FROM projectionist.skipped_events",
        )
        .await
    }
}

#[tokio::test]
async fn after_a_trap_the_guest_may_skip_the_event() {
    let met = Met::poison(json!({"verdict": "skip"})).await;

    assert_eq!(met.rows().await, (10, 0), "its own row is rolled back");
    assert_eq!(met.skipped().await, ["6 by guest"]);
    assert_eq!(met.database.status(ID).await, "Active");
    assert!(met.database.error(ID).await.is_none());
}

#[tokio::test]
async fn after_a_trap_the_guest_may_ask_for_a_retry_in_its_own_time() {
    let data = json!({"verdict": "retry", "delay_ms": 90_000, "until_attempt": 3});
    let mut met = Met::poison(data).await;

    assert_eq!(met.standing().await, (ErrorClass::Trap, 1, true));
    met.host.advance_clock(Duration::from_secs(89));
    met.catch_up().await;
    assert_eq!(met.standing().await.1, 1, "not earlier");
    met.host.advance_clock(Duration::from_secs(1));
    met.catch_up().await;
    assert_eq!(met.standing().await, (ErrorClass::Trap, 2, true));
    met.host.advance_clock(Duration::from_secs(90));
    met.catch_up().await;

    assert_eq!(met.rows().await, (10, 1));
    assert_eq!(met.database.status(ID).await, "Active");
}

#[tokio::test]
async fn after_a_trap_the_guest_may_stop() {
    let met = Met::poison(json!({"verdict": "stop"})).await;

    assert_eq!(met.standing().await, (ErrorClass::Trap, 1, false));
    assert_eq!(met.rows().await, (5, 0));
}

#[tokio::test]
async fn the_retries_that_a_guest_asks_for_count_until_the_policy_has_none_left() {
    let mut met = Met::poison(json!({"verdict": "retry", "delay_ms": 100_000})).await;

    for attempt in 1..=5 {
        assert_eq!(met.standing().await, (ErrorClass::Trap, attempt, true));
        met.host.advance_clock(Duration::from_secs(100));
        met.catch_up().await;
    }

    assert_eq!(met.standing().await, (ErrorClass::Trap, 6, false));
}

#[tokio::test]
async fn a_guest_that_leaves_it_to_the_policy_is_retried_by_the_policy() {
    let mut met = Met::poison(json!({"verdict": "policy"})).await;

    met.host.advance_clock(Duration::from_secs(4));
    met.catch_up().await;
    assert_eq!(met.standing().await, (ErrorClass::Trap, 1, true));
    met.host.advance_clock(Duration::from_secs(1));
    met.catch_up().await;
    assert_eq!(met.standing().await, (ErrorClass::Trap, 2, true));
}

#[tokio::test]
async fn a_deadline_a_memory_limit_and_a_refused_write_are_asked_about_as_well() {
    for sin in ["loop", "allocate", "twice"] {
        let met = Met::poison(json!({"sin": sin, "verdict": "skip"})).await;

        assert_eq!(met.rows().await, (10, 0), "{sin}");
        assert_eq!(met.skipped().await, ["6 by guest"], "{sin}");
    }
}

#[tokio::test]
async fn a_guest_that_breaks_down_when_asked_is_retried_by_the_policy_and_both_are_told() {
    for verdict in ["panic", "loop"] {
        let met = Met::poison(json!({"verdict": verdict})).await;

        assert_eq!(
            met.standing().await,
            (ErrorClass::Trap, 1, true),
            "{verdict}"
        );
        let message = met.message().await;
        let (first, second) = message.split_once('\n').expect("both");
        assert!(first.contains("broke down at attempt 1"), "{first}");
        match verdict {
            "panic" => assert!(
                second.contains("(trap)") && second.contains("cannot decide either"),
                "{second}"
            ),
            _ => {
                insta::assert_snapshot!(second, @"asked what becomes of the event, the guest broke down again (deadline): the guest did not return within 300 ms, its limit for on-failure (handle-timeout-ms under [limits] in the file beside the module)")
            }
        }
    }
}

#[tokio::test]
async fn a_guest_that_is_asked_can_do_nothing_to_the_database() {
    for verdict in ["sql", "rows", "append"] {
        let met = Met::poison(json!({"verdict": verdict})).await;

        assert_eq!(
            met.standing().await,
            (ErrorClass::Trap, 1, true),
            "{verdict}"
        );
        let message = met.message().await;
        let (_, second) = message.split_once('\n').expect("both");
        insta::allow_duplicates! {
            insta::assert_snapshot!(second, @"asked what becomes of the event, the guest broke down again (trap): no batch is open: `on-failure` can neither read nor write tables, nor append events; it decides by the event, the error and the retry context");
        }
        assert_eq!(met.rows().await, (5, 0), "{verdict}");
        let forged: Vec<i64> = column(
            met.database.pool(),
            "SELECT position FROM projectionist.events WHERE stream = 'forged'",
        )
        .await;
        assert_eq!(forged, [0; 0]);
    }
}

#[tokio::test]
async fn what_an_attempt_left_is_found_when_asked_and_at_the_next_attempt() {
    let mut met = Met::poison(json!({"verdict": "retry", "delay_ms": 100_000})).await;
    let context = async |met: &Met| {
        met.database
            .error(ID)
            .await
            .and_then(|error| error.retry_context)
    };

    let first = context(&met).await;
    met.host.advance_clock(Duration::from_secs(100));
    met.catch_up().await;

    assert_eq!(
        first.as_deref(),
        Some("left by attempt 1, decided at 1 of 1: true")
    );
    let second = context(&met).await;
    assert_eq!(
        second.as_deref(),
        Some("left by attempt 2, decided at 2 of 2: true")
    );
}

#[tokio::test]
async fn a_guest_without_the_export_is_retried_by_the_policy() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["without_recovery"]),
    );
    database.append("s", &[NewEvent::new("Anything")]).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let error = database
        .error("without_recovery_1")
        .await
        .expect("an error");
    assert_eq!((error.class, error.attempts), (ErrorClass::Trap, 1));
    assert!(
        error.retry_at.is_some() && !error.message.contains("asked"),
        "{}",
        error.message
    );
}
