//! When a failure is tried again: by whose policy, what resets the count, and what never costs an attempt.

use std::time::Duration;

use projectionist::admin;
use projectionist::engine::{Host, Notice, Options};
use projectionist::store::NewEvent;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};
use subscription::{ErrorClass, RetryPolicies};

use crate::support::log::{assert_once, column, event, only};
use crate::support::modules::{bytes_of, with_text};
use crate::support::{
    HostProcess, InProcess, Modules, PATIENCE, TestDatabase, eventually, stepped, stepped_with,
};

const TRAPS: &str = "traps_on_poison_1";

async fn catch_up(host: &mut Host) {
    host.once().await.expect("caught up");
}

/// Failures so far and milliseconds until the retry.
async fn standing(database: &TestDatabase, id: &str) -> (i32, Option<i64>) {
    let error = database.error(id).await;
    error.map_or((0, None), |error| (error.attempts, error.retry_in_ms))
}

/// Seconds until the retry, rounded up.
async fn delay_s(database: &TestDatabase, id: &str) -> Option<i64> {
    let (_, delay_ms) = standing(database, id).await;
    delay_ms.map(|ms| (ms + 999) / 1_000)
}

async fn poison(database: &TestDatabase) {
    database.append("s", &[NewEvent::new("Poison")]).await;
}

fn policies(texts: &[&str]) -> RetryPolicies {
    let mut policies = RetryPolicies::default();
    for text in texts {
        policies.change(text).expect("a policy");
    }
    policies
}

#[tokio::test]
async fn the_policy_is_that_of_the_module_else_of_its_group_else_of_the_host() {
    let cases: [(&[&str], &str, Option<i64>); 6] = [
        (&[], "", Some(5)),
        (&["base=30s"], "", Some(30)),
        (&["base=30s", "projector:base=40s"], "", Some(40)),
        (&["base=30s", "processor:base=40s"], "", Some(30)),
        (&["projector:none"], "", None),
        (
            &["projector:none"],
            "retry = \"base=50s,attempts=1\"",
            Some(50),
        ),
    ];
    for (given, settings, expected) in cases {
        let (database, modules) = (
            TestDatabase::new().await,
            Modules::with(&["traps_on_poison"]),
        );
        modules.put_bytes("traps_on_poison.toml", settings.as_bytes());
        poison(&database).await;
        let retry = policies(given);
        let mut host =
            stepped_with(&database, &modules, |options| Options { retry, ..options }).await;

        catch_up(&mut host).await;

        assert_eq!(
            delay_s(&database, TRAPS).await,
            expected,
            "{given:?} {settings}"
        );
    }
}

#[tokio::test]
async fn another_policy_beside_the_module_goes_from_the_next_failure_on() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    poison(&database).await;
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    assert_eq!(delay_s(&database, TRAPS).await, Some(5));

    modules.put_bytes(
        "traps_on_poison.toml",
        b"[retry]\nbase-ms = 60000\nfactor = 1\n",
    );
    host.advance_clock(Duration::from_secs(5));
    catch_up(&mut host).await;

    // The clock is five seconds ahead, and so is the retry.
    assert_eq!(delay_s(&database, TRAPS).await, Some(65));
    assert_eq!(
        standing(&database, TRAPS).await.0,
        2,
        "settings reset nothing"
    );
}

#[tokio::test]
async fn jitter_only_lengthens_a_delay_and_is_off_unless_asked_for() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    poison(&database).await;
    let retry = policies(&["base=1000s,factor=1,attempts=8,jitter=50%"]);
    let mut host = stepped_with(&database, &modules, |options| Options { retry, ..options }).await;
    let mut notices = host.notices();

    let mut delays_ms = Vec::new();
    for _ in 0..8 {
        catch_up(&mut host).await;
        host.advance_clock(Duration::from_secs(1_500));
    }
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Failed { retry_after_ms, .. } = notice {
            delays_ms.extend(retry_after_ms);
        }
    }

    assert_eq!(delays_ms.len(), 8);
    assert!(
        delays_ms
            .iter()
            .all(|ms| (1_000_000..=1_500_000).contains(ms)),
        "{delays_ms:?}"
    );
    delays_ms.dedup();
    assert!(delays_ms.len() > 1, "chance has its part: {delays_ms:?}");
}

#[tokio::test]
async fn the_count_and_the_time_of_the_retry_survive_a_restart() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    poison(&database).await;
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    drop(host);

    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 1, "not due yet");
    host.advance_clock(Duration::from_secs(5));
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 2);
    drop(host);
    let mut host = stepped(&database, &modules).await;
    host.advance_clock(Duration::from_secs(5 + 9));
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 2, "ten seconds by now");
    host.advance_clock(Duration::from_secs(1));
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 3);
}

#[tokio::test]
async fn a_batch_that_is_committed_past_the_event_resets_the_count() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_on_poison"]),
    );
    let bad = |until_attempt: u32| {
        event(
            "Poison",
            &json!({"verdict": "retry", "until_attempt": until_attempt}),
        )
    };
    database.append("s", &[bad(3), bad(9)]).await;
    let mut host = stepped(&database, &modules).await;

    let mut standings = Vec::new();
    for _ in 0..4 {
        catch_up(&mut host).await;
        let error = database.error("fails_on_poison_1").await.expect("an error");
        standings.push((error.position, error.attempts));
        host.advance_clock(Duration::from_secs(3_600));
    }

    assert_eq!(
        standings,
        [(Some(1), 1), (Some(1), 2), (Some(2), 1), (Some(2), 2)]
    );
}

#[tokio::test]
async fn reactivating_and_new_code_reset_the_count() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    poison(&database).await;
    let mut host = stepped(&database, &modules).await;
    for attempts in 1..=3 {
        catch_up(&mut host).await;
        assert_eq!(standing(&database, TRAPS).await.0, attempts);
        host.advance_clock(Duration::from_secs(3_600));
    }

    admin::reactivate(&database.store(), &only(TRAPS))
        .await
        .expect("reactivated");
    assert_eq!(standing(&database, TRAPS).await, (0, None));
    catch_up(&mut host).await;
    host.advance_clock(Duration::from_secs(3_600));
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 2);

    let other = with_text(
        &bytes_of("traps_on_poison"),
        "fell at position",
        "fell on position",
    );
    modules.put_bytes("traps_on_poison.wasm", &other);
    catch_up(&mut host).await;
    let error = database.error(TRAPS).await.expect("an error");
    assert_eq!(error.attempts, 1);
    assert!(
        error.message.contains("fell on position 1"),
        "{}",
        error.message
    );
}

/// Case 53 of the list of behaviours, with the clock that the test moves.
#[tokio::test]
async fn two_retries_then_an_operator_then_a_mended_guest() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["traps_on_poison"]),
    );
    modules.put_bytes("traps_on_poison.toml", b"retry = \"attempts=2\"\n");
    poison(&database).await;
    let mut host = stepped(&database, &modules).await;

    let mut attempts = Vec::new();
    for later_s in [0, 0, 5, 10, 20, 40] {
        host.advance_clock(Duration::from_secs(later_s));
        catch_up(&mut host).await;
        attempts.push(standing(&database, TRAPS).await.0);
    }
    assert_eq!(
        attempts,
        [1, 1, 2, 3, 3, 3],
        "then it waits for an operator"
    );
    admin::reactivate(&database.store(), &only(TRAPS))
        .await
        .expect("reactivated");
    catch_up(&mut host).await;
    assert_eq!(standing(&database, TRAPS).await.0, 1);

    modules.put("traps_on_poison.wasm", "traps_mended");
    catch_up(&mut host).await;

    assert_eq!(database.status(TRAPS).await, "Active");
    assert!(database.error(TRAPS).await.is_none());
}

#[tokio::test]
async fn the_retry_context_survives_rollbacks_silent_attempts_and_restarts() {
    const COUNTS: &str = "counts_attempts_1";
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["counts_attempts"]),
    );
    let bad = event("Poison", &json!({"until_attempt": 4, "silent_at": 2}));
    database.append("s", &[bad]).await;
    database.append_ticks(1).await;
    let mut contexts = Vec::new();
    for attempt in 1..=4 {
        let mut host = stepped(&database, &modules).await;
        host.advance_clock(Duration::from_secs(3_600 * attempt));
        catch_up(&mut host).await;
        let error = database.error(COUNTS).await;
        contexts.push(error.and_then(|error| error.retry_context));
    }

    let text = |text: &str| Some(text.to_owned());
    assert_eq!(contexts, [text("1,"), text("1,"), text("1,3,"), None]);
    let seen = database.seen(COUNTS).await.expect("rows");
    let codes: Vec<&str> = seen.iter().map(|row| row.code.as_str()).collect();
    assert_eq!(codes, ["1,3,4", "a"], "the next event finds nothing");
}

/// Makes inserts into a guest's `seen` fail with a SQLSTATE, so many times in all; `tries` counts them.
async fn conflicts(database: &TestDatabase, sqlstate: &str, times: u32) {
    let trap = format!(
        "CREATE SEQUENCE public.tries;
         CREATE FUNCTION public.conflict() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
         BEGIN
             IF nextval('public.tries') <= {times} THEN
                 RAISE EXCEPTION 'somebody else was faster' USING ERRCODE = '{sqlstate}';
             END IF;
             RETURN NEW;
         END $body$;
         CREATE TRIGGER conflict BEFORE INSERT ON records_1.seen
         FOR EACH ROW EXECUTE FUNCTION public.conflict()"
    );
    let trap = sqlx::raw_sql(AssertSqlSafe(trap));
    trap.execute(database.pool()).await.expect("a trigger");
}

async fn tries(database: &TestDatabase) -> i64 {
    let tries: Vec<i64> = column(database.pool(), "SELECT last_value FROM public.tries").await;
    tries[0]
}

/// `records` at the end of an empty log.
async fn records() -> (TestDatabase, Modules, Host) {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let mut host = stepped(&database, &modules).await;
    catch_up(&mut host).await;
    (database, modules, host)
}

#[tokio::test]
async fn nine_conflicts_in_a_row_cost_no_attempt() {
    for sqlstate in ["40001", "40P01"] {
        let (database, _modules, mut host) = records().await;
        let mut notices = host.notices();
        conflicts(&database, sqlstate, 9).await;
        database.append_ticks(1).await;

        catch_up(&mut host).await;

        database.until_all_seen_once("records_1").await;
        assert_eq!(tries(&database).await, 10, "{sqlstate}");
        while let Ok(notice) = notices.try_recv() {
            assert!(!matches!(notice, Notice::Failed { .. }), "{notice:?}");
        }
    }
}

#[tokio::test]
async fn the_tenth_conflict_in_a_row_is_an_error_of_the_guest() {
    let (database, _modules, mut host) = records().await;
    conflicts(&database, "40001", 1_000).await;
    database.append_ticks(1).await;

    catch_up(&mut host).await;

    let error = database.error("records_1").await.expect("an error");
    assert_eq!(
        (error.class, error.attempts, error.position),
        (ErrorClass::Sql, 1, Some(1))
    );
    insta::assert_snapshot!(error.message, @"a statement failed: somebody else was faster (SQLSTATE 40001); that was conflict number 10 in a row, so it is not taken for chance any more");
    assert_eq!(tries(&database).await, 10);
    host.advance_clock(Duration::from_secs(5));
    catch_up(&mut host).await;
    assert_eq!(standing(&database, "records_1").await.0, 2);
    assert_eq!(tries(&database).await, 20, "each attempt has its ten");
}

/// The same as [`conflicts`], where nothing shows before the commit.
async fn conflicts_at_the_commit(database: &TestDatabase, sqlstate: &str, times: u32) {
    conflicts(database, sqlstate, times).await;
    let later = "DROP TRIGGER conflict ON records_1.seen;
                 CREATE CONSTRAINT TRIGGER conflict AFTER INSERT ON records_1.seen
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.conflict()";
    let later = sqlx::raw_sql(later).execute(database.pool()).await;
    later.expect("a trigger");
}

#[tokio::test]
async fn a_conflict_at_the_commit_counts_as_one_of_a_statement() {
    for sqlstate in ["40001", "40P01"] {
        let (database, _modules, mut host) = records().await;
        conflicts_at_the_commit(&database, sqlstate, 9).await;
        database.append_ticks(1).await;
        catch_up(&mut host).await;
        database.until_all_seen_once("records_1").await;
        assert_eq!(tries(&database).await, 10, "{sqlstate}");

        let (database, _modules, mut host) = records().await;
        conflicts_at_the_commit(&database, sqlstate, 1_000).await;
        database.append_ticks(1).await;
        catch_up(&mut host).await;
        let error = database.error("records_1").await.expect("an error");
        assert_eq!(
            (error.class, error.attempts, error.position),
            (ErrorClass::Sql, 1, Some(1))
        );
        let expected = format!(
            "the commit failed: somebody else was faster (SQLSTATE {sqlstate}); that was conflict number 10 in a row, so it is not taken for chance any more"
        );
        assert_eq!(error.message, expected);
        assert_eq!(tries(&database).await, 10, "{sqlstate}");
    }
}

#[tokio::test]
async fn the_environment_says_how_failures_are_tried_again_and_the_command_line_goes_first() {
    const VARIABLE: &str = "PROJECTIONIST_RETRY";
    let cases: [(&str, &[&str], i64); 3] = [
        ("base=30s", &[], 30),
        ("base=30s;projector:base=40s,factor=3", &[], 40),
        ("projector:base=40s", &["--retry", "base=50s"], 50),
    ];
    for (variable, words, delay_s) in cases {
        let (database, modules) = (
            TestDatabase::new().await,
            Modules::with(&["traps_on_poison"]),
        );
        poison(&database).await;
        let host = HostProcess::start_with(database.url(), modules.path(), |command| {
            command.arg("--once").args(words).env(VARIABLE, variable)
        });
        host.until_ended().await;
        let delays: Vec<f64> = column(
            database.pool(),
            "SELECT date_part('epoch', retry_at - failed_at) FROM projectionist.lane_errors",
        )
        .await;
        let rounded: Vec<i64> = delays.iter().map(|delay| delay.round() as i64).collect();
        assert_eq!(rounded, [delay_s], "{variable} {words:?}");
    }
}

/// Runs the host until a statement of it waits for a lock on a table, and then ends the connection that waits.
async fn cut_off_while_it_waits(database: &TestDatabase, table: &str, mut host: Host) -> Host {
    let mut holder = database.connect().await;
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    holder.execute(AssertSqlSafe(lock)).await.expect("locked");
    let running = tokio::spawn(async move {
        let caught_up = host.once().await;
        (host, caught_up)
    });
    let waiting = async || -> Option<i32> {
        sqlx::query_scalar(
            "SELECT pid FROM pg_locks WHERE NOT granted AND database =
             (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_optional(database.pool())
        .await
        .expect("locks")
    };
    let pid = eventually(PATIENCE, async || waiting().await.ok_or("nobody waits")).await;
    sqlx::query("SELECT pg_terminate_backend($1)")
        .bind(pid)
        .execute(database.pool())
        .await
        .expect("terminated");
    holder.execute("ROLLBACK").await.expect("released");
    let (host, caught_up) = running.await.expect("it does not panic");
    caught_up.expect("caught up");
    host
}

#[tokio::test]
async fn a_connection_that_is_lost_in_a_statement_of_the_guest_costs_an_attempt() {
    for (guest, id, table) in [
        ("records", "records_1", "records_1.counter"),
        (
            "tries_statements",
            "tries_statements_1",
            "tries_statements_1.tried",
        ),
    ] {
        let (database, modules) = (TestDatabase::new().await, Modules::with(&[guest]));
        let mut host = stepped(&database, &modules).await;
        catch_up(&mut host).await;
        database.append_ticks(1).await;

        let mut host = cut_off_while_it_waits(&database, table, host).await;

        let error = database.error(id).await.expect("an error");
        assert_eq!(
            (error.class, error.attempts),
            (ErrorClass::Sql, 1),
            "{guest}"
        );
        let said = &error.message;
        assert!(
            said.contains("the connection was lost while the statement ran: "),
            "{said}"
        );
        host.advance_clock(Duration::from_secs(5));
        catch_up(&mut host).await;
        assert_eq!(database.status(id).await, "Active");
        assert!(database.error(id).await.is_none());
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_in_a_statement_of_the_host_costs_none() {
    const ID: &str = "counts_rows_1";
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["counts_rows"]));
    let mut host = stepped(&database, &modules).await;
    let mut notices = host.notices();
    catch_up(&mut host).await;
    database.append_ticks(1).await;

    cut_off_while_it_waits(&database, "counts_rows_1.stream_count", host).await;

    let events: Vec<i64> = column(
        database.pool(),
        "SELECT events FROM counts_rows_1.stream_count",
    )
    .await;
    assert_eq!(events, [1], "it is through at once");
    assert_eq!(database.status(ID).await, "Active");
    while let Ok(notice) = notices.try_recv() {
        assert!(!matches!(notice, Notice::Failed { .. }), "{notice:?}");
    }
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_is_an_error_at_its_event() {
    let (database, _modules, mut host) = records().await;
    database
        .pool()
        .execute(
            "CREATE FUNCTION public.no_poison() RETURNS trigger LANGUAGE plpgsql AS $body$
             BEGIN
                 IF NEW.type = 'Poison' THEN
                     RAISE EXCEPTION 'no poison here' USING ERRCODE = '23514';
                 END IF;
                 RETURN NULL;
             END $body$;
             CREATE CONSTRAINT TRIGGER no_poison AFTER INSERT ON records_1.seen
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no_poison()",
        )
        .await
        .expect("a trigger");
    database.append_ticks(3).await;
    poison(&database).await;
    database.append_ticks(3).await;

    catch_up(&mut host).await;

    let error = database.error("records_1").await.expect("an error");
    assert_eq!(
        (error.class, error.attempts, error.position),
        (ErrorClass::Sql, 1, Some(4))
    );
    assert_eq!(
        error.message,
        "the commit failed: no poison here (SQLSTATE 23514)"
    );
    assert_once(&[1, 2, 3], &database.seen("records_1").await.expect("rows"));
}

/// Case 35 of the list of behaviours: the rollback fails as well, because the connection is gone by then.
#[tokio::test]
async fn what_is_recorded_is_the_guests_failure_also_when_its_transaction_is_lost() {
    const ID: &str = "recovers_on_poison";
    let (database, modules) = (TestDatabase::new().await, Modules::with(&[ID]));
    modules.put_bytes(
        "recovers_on_poison.toml",
        b"[limits]\nhandle-timeout-ms = 5000\n",
    );
    let host = InProcess::start(&database, &modules).await;
    database.until_status(ID, "Active").await;
    let bad = event("Poison", &json!({"sin": "loop", "verdict": "stop"}));
    database.append("s", &[bad]).await;
    let inside = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%seen%'
                    AND state_change < clock_timestamp() - interval '300 ms'";
    eventually(PATIENCE, async || {
        let ended: Vec<bool> = column(database.pool(), inside).await;
        match ended.is_empty() {
            true => Err("no batch waits for its guest"),
            false => Ok(()),
        }
    })
    .await;

    database.until_status(ID, "Error(Active)").await;

    let error = database.error(ID).await.expect("an error");
    assert_eq!((error.class, error.attempts), (ErrorClass::Deadline, 1));
    host.stop().await;
}
