//! What becomes of the session of a guest: statements that do not end are ended on the server, and nothing but prepared statements
//! reaches the next batch.

use projectionist::admin::{self, Done};
use sqlx::AssertSqlSafe;
use subscription::ErrorClass;

use crate::support::log::only;
use crate::support::runs::{ID, append_runs, verdicts, with_bystander};
use crate::support::{PATIENCE, TestDatabase, eventually};

#[tokio::test]
async fn a_statement_that_does_not_end_is_ended_on_the_server() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put_bytes("runs_sql.toml", b"[limits]\nhandle-timeout-ms = 1000\n");
    modules.put("runs_sql.wasm", "runs_sql");
    for statement in [
        "SELECT pg_sleep(600)::text",
        "SELECT count(*)::text FROM generate_series(1, 1000000000000) a",
        "SELECT count(*)::text FROM generate_series(1, 100000000) a, generate_series(1, 100000000) b",
    ] {
        let position = append_runs(&database, "trustingly", &[statement]).await;

        host.once().await.expect("caught up");

        let error = database.error(ID).await.expect("an error");
        assert_eq!(
            (error.class, error.position),
            (ErrorClass::Deadline, Some(position)),
            "{statement}"
        );
        until_no_guest_is_busy(&database).await;
        database.until_out_of_a_batch(ID).await;
        let changes = admin::skip(&database.store(), &only(ID), None).await;
        assert_eq!(changes.expect("skipped")[0].result, Done::Done);
    }
}

#[tokio::test]
async fn rows_without_end_are_refused_and_the_server_stops_sending() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put("runs_sql.wasm", "runs_sql");
    let statements = ["SELECT generate_series(1, 1000000000000)::text"];
    append_runs(&database, "query", &statements).await;

    host.once().await.expect("caught up");

    insta::assert_snapshot!(verdicts(&database, &statements).await);
    until_no_guest_is_busy(&database).await;
}

#[tokio::test]
async fn a_setup_that_listens_to_no_cancel_is_terminated() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put_bytes(
        "runs_sql.toml",
        b"[limits]\nsetup-timeout-ms = 1000\n[settings]\nsetup = '''CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
          BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$
---
SELECT f()'''\n",
    );
    modules.put("runs_sql.wasm", "runs_sql");

    host.once().await.expect("caught up");

    let error = database.error(ID).await.expect("an error");
    assert_eq!(error.class, ErrorClass::Deadline);
    until_no_guest_is_busy(&database).await;
    database.until_out_of_a_batch(ID).await;
}

/// Waits until no session of a guest's role runs anything.
async fn until_no_guest_is_busy(database: &TestDatabase) {
    eventually(PATIENCE, async || {
        let busy: Vec<String> = sqlx::query_scalar(
            "SELECT a.query FROM pg_stat_activity a JOIN projectionist.roles r ON r.name = a.usename
             WHERE a.datname = current_database() AND (a.state = 'active' OR a.backend_xid IS NOT NULL)",
        )
        .fetch_all(database.pool())
        .await
        .expect("sessions");
        match busy.is_empty() {
            true => Ok(()),
            false => Err(format!("these still run: {busy:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_session_reaches_the_next_batch_but_prepared_statements() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put("runs_sql.wasm", "runs_sql");
    host.once().await.expect("set up");
    // A function of somebody else's making, which does what a guest may not do itself.
    let stain = "CREATE FUNCTION runs_sql_1.stain() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('search_path', 'runs_sql_1, projectionist', false), set_config('statement_timeout', '0', false),
                set_config('idle_in_transaction_session_timeout', '0', false), set_config('timezone', 'Asia/Tokyo', false),
                set_config('standard_conforming_strings', 'off', false), set_config('default_transaction_read_only', 'on', false),
                set_config('synchronous_commit', 'off', false), pg_advisory_lock(7), nextval('runs_sql_1.numbers');
        LISTEN stained; EXECUTE 'DECLARE stained CURSOR WITH HOLD FOR SELECT 1';
        RETURN 'stained'; END $$";
    for statement in [
        "CREATE SEQUENCE runs_sql_1.numbers",
        stain,
        "SELECT projectionist.make_roles('runs_sql_1')",
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(database.pool())
            .await
            .expect("done");
    }
    let what_is = "SELECT concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'),
        current_setting('idle_in_transaction_session_timeout'), current_setting('timezone'), current_setting('standard_conforming_strings'),
        current_setting('default_transaction_read_only'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_cursors WHERE name = 'stained'), (SELECT count(*) FROM pg_listening_channels()))";
    let pid = "SELECT pg_backend_pid()::text";
    let prepared = "SELECT (count(*) > 0)::text FROM pg_prepared_statements";

    // A batch for each, since a run of them is one.
    let mut seen = Vec::new();
    for statement in [what_is, pid, "SELECT stain()", pid, what_is, prepared] {
        append_runs(&database, "trustingly", &[statement]).await;
        host.once().await.expect("caught up");
        assert_eq!(
            database.error(ID).await.map(|error| error.message),
            None,
            "{statement}"
        );
        let last = "SELECT answer FROM runs_sql_1.answers ORDER BY position DESC LIMIT 1";
        let answer: String = sqlx::query_scalar(last)
            .fetch_one(database.pool())
            .await
            .expect("an answer");
        seen.push(answer);
        // Not at the beginning of the next batch, which may be long in coming.
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                     WHERE l.locktype = 'advisory' AND l.objid = 7 AND d.datname = current_database()";
        let kept: i64 = sqlx::query_scalar(locks)
            .fetch_one(database.pool())
            .await
            .expect("locks");
        assert_eq!(kept, 0, "after {statement}");
    }

    assert_eq!(seen[1], seen[3], "the same session");
    assert_eq!(seen[0], seen[4], "nothing of the stain");
    assert_eq!(seen[0], "runs_sql_1 1min 1min UTC on off 0 0 0");
    assert_eq!(seen[5], "true");
}
