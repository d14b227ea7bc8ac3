//! What the SQL of a guest cannot do, whatever it tries: each statement with the verdict, and with all that is not its own unharmed.

use projectionist::admin::Removal;
use projectionist::engine::Host;
use subscription::ErrorClass;

use crate::support::runs::{ID, append_runs, verdicts, with_bystander};
use crate::support::{Modules, PATIENCE, TestDatabase};

/// What `handle` may not do: other statements than those that read and write rows.
const NO_STATEMENTS_OF_HANDLE: [&str; 44] = [
    "RESET ROLE",
    "RESET ALL",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET search_path = projectionist",
    "SET LOCAL statement_timeout = 0",
    "SHOW ALL",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE SAVEPOINT statement",
    "ROLLBACK TO SAVEPOINT statement",
    "PREPARE TRANSACTION 'x'",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DO $$ BEGIN COMMIT; END $$",
    "CALL x()",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY answers FROM '/etc/passwd'",
    "CREATE TABLE x (y int)",
    "CREATE TEMPORARY TABLE x (y int)",
    "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP TABLE answers",
    "ALTER TABLE answers ADD COLUMN x int",
    "ALTER ROLE CURRENT_USER PASSWORD 'x'",
    "TRUNCATE answers",
    "GRANT ALL ON answers TO PUBLIC",
    "COMMENT ON TABLE answers IS 'mine'",
    "LOCK TABLE answers",
    "LISTEN x",
    "NOTIFY projectionist_control",
    "UNLISTEN *",
    "DECLARE x CURSOR WITH HOLD FOR SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "LOAD 'x'",
    "SELECT 1::text; SELECT 2::text",
    "SELECT 1::text; COMMIT",
    "",
];

/// What passes the grammar and is refused by name, or is not what it looks like.
const NO_FUNCTIONS_OF_HANDLE: [&str; 24] = [
    "SELECT set_config('role', 'none', true)",
    "SELECT pg_catalog.\"set_config\"('search_path', 'projectionist', false)",
    "SELECT U&\"set\\005fconfig\"('role', 'none', true)",
    "SELECT E'\\'' || set_config('role', 'none', true) --'",
    "SELECT '\\' || set_config('standard_conforming_strings', 'off', false) --'",
    "SELECT pg_notify('projectionist_control', '')::text",
    "SELECT pg_advisory_lock(n)::text FROM generate_series(1, 100000) n",
    "SELECT pg_try_advisory_xact_lock(1)::text",
    "SELECT pg_advisory_unlock_all()::text",
    "SELECT pg_terminate_backend(pg_backend_pid())::text",
    "SELECT pg_cancel_backend(pg_backend_pid())::text",
    "SELECT lo_create(0)::text",
    "SELECT lo_import('/etc/passwd')::text",
    "SELECT loread(0, 1)::text",
    "SELECT query_to_xml('COMMIT', true, true, '')::text",
    "SELECT database_to_xml(true, true, '')::text",
    "SELECT pg_logical_emit_message(true, 'a', 'b')::text",
    "SELECT word FROM ts_stat('SELECT 1')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')::text",
    "SELECT dblink_exec('', 'SELECT 1')",
    "SELECT 'x' AS y INTO z",
    "SELECT 'x' AS y INTO TEMPORARY z",
    "SELECT 'x' AS y INTO public.z",
    "WITH a AS (SELECT 1 AS b) SELECT b INTO TABLE z FROM a",
];

/// What the role may not do.
const NO_RIGHTS_OF_HANDLE: [&str; 32] = [
    "SELECT type FROM projectionist.events",
    "SELECT password FROM projectionist.roles",
    "SELECT projectionist.make_roles('runs_sql_1')::text",
    "DELETE FROM projectionist.subscriptions",
    "UPDATE projectionist.checkpoints SET position = 100",
    "INSERT INTO projectionist.events (stream, version, type) VALUES ('forged', 1, 'Forged')",
    "SELECT a.id::text FROM projectionist.append('forged', NULL, '[{\"type\": \"Forged\"}]') a",
    "SELECT a.id::text FROM pj_batch.append('forged', NULL, '[{\"type\": \"Forged\"}]', NULL, NULL) a",
    "SELECT a.id::text FROM pj_batch.append('forged', NULL, '[{\"type\": \"Forged\"}]', 'runs_sql_1', NULL) a",
    "SELECT a.id::text FROM pj_batch.append('forged', NULL, '[{\"type\": \"Forged\"}]', NULL, '\\x00') a",
    "SELECT position::text FROM pj_batch.open_lane(0, 'records_1', NULL)",
    "SELECT position::text FROM pj_batch.open_lane(0, NULL, NULL)",
    "SELECT pj_batch.advance(0, 0, 100, NULL, NULL, NULL, NULL, NULL, false, '0', NULL, NULL)::text",
    "SELECT pj_batch.advance(0, 0, 100, NULL, NULL, NULL, NULL, NULL, false, '0', 'records_1', NULL)::text",
    "SELECT pj_batch.record_skipped(1, 'guest', 'x', NULL, NULL)::text",
    "SELECT pj_batch.mark_replayed(1, NULL, NULL)::text",
    "SELECT pj_batch.begin_generation(1, NULL, NULL)::text",
    "SELECT pj_batch.empty_schema('records_1', NULL)::text",
    "SELECT pj_batch.empty_line('records_1', NULL)::text",
    "SELECT nextval('projectionist.events_position')::text",
    "SELECT setval('projectionist.bell', 0)::text",
    "SELECT code FROM records_1.seen",
    "INSERT INTO records_1.counter (n) VALUES (1)",
    "WITH gone AS (DELETE FROM records_1.seen RETURNING code) SELECT code FROM gone",
    "SELECT rolpassword FROM pg_authid",
    "UPDATE pg_catalog.pg_class SET relowner = 10",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_switch_wal()::text",
    "SELECT pg_reload_conf()::text",
    "SELECT pg_stat_reset()::text",
    "SELECT pg_export_snapshot(), nextval('nowhere')::text",
];

/// What a guest is there for.
const FINE_IN_HANDLE: [&str; 8] = [
    "SELECT 'set_config, pg_notify and INTO'",
    "VALUES ('a'), ('b')",
    "TABLE answers",
    "/* a comment */ (SELECT 'x' -- and another\n)",
    "WITH fresh AS (INSERT INTO answers VALUES (-1, 'a') RETURNING answer) SELECT answer FROM fresh",
    "UPDATE answers SET answer = 'b' WHERE position = -1 RETURNING answer",
    "MERGE INTO answers a USING (VALUES (-1)) v (n) ON a.position = v.n WHEN MATCHED THEN DELETE",
    "SELECT current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('statement_timeout') || ' ' || current_setting('search_path') || ' ' || current_setting('timezone')",
];

/// What `setup` may not do, or may not leave behind.
const NOT_IN_SETUP: [&str; 40] = [
    "COMMIT",
    "ROLLBACK",
    "SET ROLE postgres",
    "RESET ROLE",
    "DO $$ BEGIN NULL; END $$",
    "COPY answers TO '/tmp/x'",
    "CALL x()",
    "NOTIFY x",
    "SELECT set_config('role', 'none', true)",
    "SELECT pg_advisory_lock(1)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1'",
    "CREATE AGGREGATE f(int) (sfunc = int4pl, stype = int)",
    "CREATE VIEW v AS SELECT answer FROM answers",
    "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a",
    "CREATE TRIGGER t BEFORE UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON DELETE TO answers DO INSTEAD NOTHING",
    "CREATE POLICY p ON answers USING (position > 0)",
    "CREATE OPERATOR === (leftarg = text, rightarg = text, procedure = texteq)",
    "CREATE TYPE mood AS ENUM ('good')\n---\nCREATE CAST (mood AS bigint) WITH INOUT",
    "CREATE COLLATION c (locale = 'C')",
    "CREATE STATISTICS s ON position, answer FROM answers",
    "CREATE TEMPORARY TABLE x (y int)",
    "CREATE TABLE public.x (y int)",
    "CREATE TABLE records_1.x (y int)",
    "CREATE TABLE projectionist.x (y int)",
    "CREATE SCHEMA x",
    "CREATE ROLE x",
    "CREATE DATABASE x",
    "CREATE EXTENSION dblink",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION x()",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER SCHEMA runs_sql_1 RENAME TO x",
    "GRANT CREATE ON SCHEMA runs_sql_1 TO PUBLIC",
    "DROP SCHEMA runs_sql_1 CASCADE",
    "DROP TABLE records_1.seen",
    "UPDATE projectionist.checkpoints SET position = 100",
    "SELECT type FROM projectionist.events",
    "SELECT pj_batch.begin_generation(1, NULL, NULL)",
];

/// What `setup` is there for.
const FINE_IN_SETUP: &str = "CREATE TYPE mood AS ENUM ('good', 'bad')
---
CREATE DOMAIN amount AS bigint CHECK (VALUE >= 0)
---
CREATE TYPE place AS (x int, y int)
---
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi)
---
CREATE SEQUENCE numbers
---
CREATE TABLE parent (id bigint PRIMARY KEY, m mood, a amount, p place, s span, n bigint DEFAULT nextval('numbers'))
---
CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint REFERENCES parent, twice bigint GENERATED ALWAYS AS (id * 2) STORED)
---
CREATE TABLE parts (day date NOT NULL, id bigint) PARTITION BY RANGE (day)
---
CREATE TABLE part_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
---
CREATE INDEX ON parts (id)
---
COMMENT ON TABLE parent IS 'kept'
---
INSERT INTO parent (id, m) VALUES (1, 'good')";

/// All that is not the guest's own, in one number.
async fn everything_else(database: &TestDatabase) -> String {
    let digest = "SELECT md5(concat(
        (SELECT string_agg(e::text, ',' ORDER BY e.position) FROM projectionist.events e WHERE e.type <> 'Run'),
        (SELECT string_agg(r::text, ',' ORDER BY r.name) FROM projectionist.roles r WHERE r.subscription <> 'runs_sql_1'),
        (SELECT string_agg(s::text, ',' ORDER BY s.id) FROM projectionist.subscriptions s WHERE s.id <> 'runs_sql_1'),
        (SELECT string_agg(m.digest::text, ',' ORDER BY m.digest) FROM projectionist.modules m JOIN projectionist.subscriptions s ON s.module = m.digest WHERE s.id <> 'runs_sql_1'),
        (SELECT string_agg(l::text, ',' ORDER BY l.line) FROM projectionist.lines l WHERE l.line <> 'runs_sql'),
        (SELECT string_agg(o::text, ',') FROM projectionist.lane_errors o WHERE o.subscription <> 'runs_sql_1'),
        (SELECT string_agg(concat(c.relname, c.relowner, c.relacl), ',' ORDER BY c.relname) FROM pg_class c WHERE c.relnamespace IN ('projectionist'::regnamespace, 'public'::regnamespace)
            AND c.relkind IN ('r', 'v', 'S') AND c.relname <> 'x'),
        (SELECT string_agg(p.oid::regprocedure::text || p.proowner::text, ',' ORDER BY p.oid) FROM pg_proc p WHERE p.pronamespace IN ('projectionist'::regnamespace, 'pj_batch'::regnamespace)),
        (SELECT string_agg(n.nspname || n.nspowner::text, ',' ORDER BY n.oid) FROM pg_namespace n WHERE n.nspname NOT LIKE 'pg%' AND n.nspname NOT LIKE 'runs_sql%'),
        (SELECT count(*) FROM pg_largeobject_metadata)))";
    sqlx::query_scalar(digest)
        .fetch_one(database.pool())
        .await
        .expect("a digest")
}

/// What the host says of a guest's statements, with all that it makes of them in between.
async fn run_in_handle(statements: &[&str]) -> String {
    let (database, modules, mut host) = with_bystander().await;
    modules.put("runs_sql.wasm", "runs_sql");
    let before = everything_else(&database).await;
    append_runs(&database, "query", statements).await;

    host.once().await.expect("caught up");

    assert_eq!(database.status(ID).await, "Active");
    // The bystander has nothing to do with these events, but its checkpoint follows them.
    assert_eq!(everything_else(&database).await, before);
    assert_eq!(
        database.seen("records_1").await.expect("rows").len(),
        3 + statements.len()
    );
    verdicts(&database, statements).await
}

fn assert_snapshot(name: &str, text: &str) {
    let filters = vec![
        (r"pj_[0-9a-f]{10}_", "pj_INSTALLATION_"),
        (r"projectionist_test_[0-9a-f]{32}", "DATABASE"),
        // From version 16 on the server says it in other words, and more of them.
        (
            "must be superuser to alter superuser roles or change superuser attribute",
            "permission denied to alter role",
        ),
        (r"(denied to \w+ role) \(Only roles [^)]*\)", "$1"),
    ];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!(name, text);
    });
}

#[tokio::test]
async fn handle_reads_and_writes_rows_and_runs_no_other_statement() {
    let told = run_in_handle(&NO_STATEMENTS_OF_HANDLE).await;
    assert_snapshot("no_statements_of_handle", &told);
}

#[tokio::test]
async fn functions_that_reach_out_are_refused_by_name() {
    let told = run_in_handle(&NO_FUNCTIONS_OF_HANDLE).await;
    assert_snapshot("no_functions_of_handle", &told);
}

#[tokio::test]
async fn the_role_of_handle_reaches_its_own_tables_alone() {
    let told = run_in_handle(&NO_RIGHTS_OF_HANDLE).await;
    assert_snapshot("no_rights_of_handle", &told);
}

#[tokio::test]
async fn what_guests_are_there_for_works() {
    let told = run_in_handle(&FINE_IN_HANDLE).await;
    assert_snapshot("fine_in_handle", &told);
}

#[tokio::test]
async fn a_guest_that_looks_away_from_a_refusal_has_not_handled_anything() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put("runs_sql.wasm", "runs_sql");
    append_runs(&database, "blindly", &["COMMIT"]).await;

    host.once().await.expect("caught up");

    let error = database.error(ID).await.expect("an error");
    assert_eq!((error.class, error.attempts), (ErrorClass::Sql, 1));
    let answers: i64 = sqlx::query_scalar("SELECT count(*) FROM runs_sql_1.answers")
        .fetch_one(database.pool())
        .await
        .expect("a count");
    assert_eq!(answers, 0);
}

#[tokio::test]
async fn a_refusal_inside_a_savepoint_undoes_that_statement_alone() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put("runs_sql.wasm", "runs_sql");
    let statements = ["COMMIT", "SELECT code FROM records_1.seen", "SELECT 1"];
    append_runs(&database, "try", &statements).await;

    host.once().await.expect("caught up");

    assert_snapshot(
        "inside_a_savepoint",
        &verdicts(&database, &statements).await,
    );
}

/// Sets the guest up with these statements, and says what came of it.
async fn set_up(
    host: &mut Host,
    database: &TestDatabase,
    modules: &Modules,
    statements: &str,
) -> Option<String> {
    let settings = toml::Table::from_iter([(
        "settings".to_owned(),
        toml::Value::Table(toml::Table::from_iter([(
            "setup".to_owned(),
            statements.into(),
        )])),
    )]);
    modules.put_bytes("runs_sql.toml", settings.to_string().as_bytes());
    modules.put("runs_sql.wasm", "runs_sql");
    host.once().await.expect("caught up");
    let error = database.error(ID).await;
    assert_eq!(
        database.status(ID).await,
        if error.is_some() {
            "Error(New)"
        } else {
            "Active"
        }
    );
    error.map(|error| error.message)
}

#[tokio::test]
async fn setup_makes_tables_and_leaves_nothing_behind_that_runs_code() {
    let (database, modules, mut host) = with_bystander().await;
    let before = everything_else(&database).await;
    let mut told = Vec::new();
    for statements in NOT_IN_SETUP {
        let said = set_up(&mut host, &database, &modules, statements).await;
        let said = said.unwrap_or_else(|| panic!("{statements} was let pass"));
        told.push(format!("{statements}\n  ! {said}"));
        modules.remove("runs_sql.wasm");
        host.scan().await.expect("scanned");
        assert!(
            database
                .store()
                .remove_subscription(ID)
                .await
                .expect("removed")
        );
    }
    assert_eq!(everything_else(&database).await, before);
    assert_snapshot("not_in_setup", &told.join("\n"));

    assert_eq!(
        set_up(&mut host, &database, &modules, FINE_IN_SETUP).await,
        None
    );
}

#[tokio::test]
async fn the_handler_uses_what_setup_made() {
    let (database, modules, mut host) = with_bystander().await;
    assert_eq!(
        set_up(&mut host, &database, &modules, FINE_IN_SETUP).await,
        None
    );
    let statements = [
        "INSERT INTO parent (id, m, a, p, s) VALUES (2, 'bad', 3, ROW(1, 2), span(1, 2)) RETURNING n::text",
        "INSERT INTO child (parent) VALUES (2) RETURNING twice::text",
        "INSERT INTO parts VALUES ('2026-02-03', 4) RETURNING day::text",
    ];
    append_runs(&database, "query", &statements).await;

    host.once().await.expect("caught up");

    assert_snapshot(
        "uses_what_setup_made",
        &verdicts(&database, &statements).await,
    );
}

#[tokio::test]
async fn an_error_at_the_commit_is_the_guests() {
    let (database, modules, mut host) = with_bystander().await;
    let late = "CREATE TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    assert_eq!(set_up(&mut host, &database, &modules, late).await, None);
    let doubled = "WITH new AS (INSERT INTO once VALUES (1), (1)) SELECT 'done'";
    let position = append_runs(&database, "query", &["SELECT 'before'", doubled]).await;

    host.once().await.expect("caught up");

    let error = database.error(ID).await.expect("an error");
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Sql, Some(position))
    );
    assert_snapshot("an_error_at_the_commit", &error.message);
    assert_eq!(database.position(ID).await, position - 1);
}

#[tokio::test]
async fn teardown_has_the_rights_of_setup_and_no_more() {
    let (database, modules, mut host) = with_bystander().await;
    modules.put_bytes(
        "runs_sql.toml",
        b"[settings]\nteardown = '''DROP TABLE answers\n---\nDROP TABLE records_1.seen'''\n",
    );
    modules.put("runs_sql.wasm", "runs_sql");
    host.once().await.expect("set up");
    let before = everything_else(&database).await;
    let removal = Removal {
        store: database.store(),
        runtime: projectionist::guest::Runtime::new().expect("a runtime"),
        compiler: crate::support::modules::compiler(),
        lane_patience: PATIENCE,
    };

    let change = removal.remove(ID).await.expect("an answer");

    assert_snapshot("teardown", &change.reason.unwrap_or_default());
    assert_eq!(everything_else(&database).await, before);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'runs_sql_1'")
            .fetch_one(database.pool())
            .await
            .expect("a count");
    assert_eq!(left, 0);
}
