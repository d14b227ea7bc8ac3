//! Versions of a line: built beside the one that readers see, then shown in its place.

use projectionist::admin;
use projectionist::store::Unseen;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::command::shown;
use crate::support::versions::LEDGER;
use crate::support::{InProcess, Modules, TestDatabase, stepped};

async fn execute(database: &TestDatabase, sql: &str) {
    database
        .pool()
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A database in which version 101 is live, with some events behind it.
async fn with_one_live(modules: &Modules) -> TestDatabase {
    let database = TestDatabase::new().await;
    modules.put_ledger("ledger.wasm", 101, "plain");
    database.append_moves(20).await;
    let mut host = stepped(&database, modules).await;
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    database
}

#[tokio::test]
async fn the_first_version_is_readable_by_the_name_of_its_line_when_it_has_caught_up() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_ledger("ledger.wasm", 101, "plain");
    database.append_moves(20).await;
    let mut host = stepped(&database, &modules).await;

    host.scan().await.expect("scanned");
    // The schema is there from the start, so that it can be granted; nothing is in it yet.
    execute(&database, "GRANT USAGE ON SCHEMA ledger TO PUBLIC").await;
    assert!(database.accounts(LEDGER).await.is_err());
    host.once().await.expect("caught up");

    let head = database.store().head().await.expect("a head");
    assert_eq!(
        database.accounts(LEDGER).await.expect("rows"),
        database.expected_accounts(head).await
    );
    database.append_moves(5).await;
    host.once().await.expect("caught up");
    let head = database.store().head().await.expect("a head");
    assert_eq!(
        database.accounts(LEDGER).await.expect("rows"),
        database.expected_accounts(head).await
    );
}

#[tokio::test]
async fn a_file_that_is_replaced_by_a_higher_version_is_built_beside_and_then_shown() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;

    modules.put_ledger("ledger.wasm", 102, "wider");
    host.scan().await.expect("scanned");

    // The one before has no file any more, and goes on from its stored bytes.
    assert_eq!(database.status("ledger_101").await, "Active");
    assert_eq!(database.status("ledger_102").await, "New");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    database.append_moves(5).await;
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    assert_eq!(database.status("ledger_101").await, "Detached(Active)");
    assert_eq!(database.status("ledger_102").await, "Active");
    database.assert_ledger("ledger_101").await;
    database.until_ledger_is_right("ledger_102").await;
    assert_eq!(
        database.accounts(LEDGER).await.expect("rows"),
        database.accounts("ledger_102").await.expect("rows")
    );
}

#[tokio::test]
async fn a_running_host_switches_under_constant_appends() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let _host = InProcess::start(&database, &modules).await;
    let appender = database.append_continuously();

    modules.put_ledger("second.wasm", 102, "typed");
    database.until_live(LEDGER, "ledger_102").await;

    appender.stop().await;
    database
        .until_status("ledger_101", "Detached(Active)")
        .await;
    database.assert_ledger("ledger_101").await;
    database.until_ledger_is_right("ledger_102").await;
}

#[tokio::test]
async fn a_version_that_fails_leaves_the_live_one_untouched() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;

    modules.put_ledger("ledger.wasm", 102, "stops");
    host.once().await.expect("caught up");
    database.append_moves(5).await;
    host.once().await.expect("caught up");

    assert_eq!(database.status("ledger_102").await, "Error(Booting)");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    assert_eq!(database.status("ledger_101").await, "Active");
    database.until_ledger_is_right("ledger_101").await;
}

#[tokio::test]
async fn a_still_newer_version_supersedes_the_one_that_is_being_built() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_ledger("ledger.wasm", 102, "stops");
    host.once().await.expect("caught up");
    assert_eq!(database.status("ledger_102").await, "Error(Booting)");

    modules.put_ledger("third.wasm", 103, "plain");
    host.once().await.expect("caught up");

    assert_eq!(database.status("ledger_102").await, "Detached(Booting)");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_103"));
    assert_eq!(database.status("ledger_101").await, "Detached(Active)");
}

#[tokio::test]
async fn of_two_new_versions_at_once_the_higher_one_is_built() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_ledger("a.wasm", 103, "plain");
    modules.put_ledger("b.wasm", 102, "plain");

    host.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_103"));
    assert_eq!(database.status("ledger_102").await, "Detached(New)");
}

#[tokio::test]
async fn the_file_of_a_version_that_is_being_built_may_go_and_the_live_one_stays() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_ledger("ledger.wasm", 102, "stops");
    modules.put("records.wasm", "records");
    host.once().await.expect("caught up");

    modules.remove("ledger.wasm");
    host.once().await.expect("caught up");
    // Another host later, which never saw the file.
    database.append_moves(5).await;
    let mut other = stepped(&database, &modules).await;
    other.once().await.expect("caught up");

    assert_eq!(database.status("ledger_102").await, "Detached(Booting)");
    assert_eq!(database.status("ledger_101").await, "Active");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    database.until_ledger_is_right("ledger_101").await;
}

#[tokio::test]
async fn a_lower_number_than_the_live_one_is_refused_unless_it_is_known() {
    let modules = Modules::new();
    let database = TestDatabase::new().await;
    modules.put_ledger("ledger.wasm", 102, "plain");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");

    modules.put_ledger("lower.wasm", 101, "plain");
    host.once().await.expect("caught up");

    let files = database.store().host_files().await.expect("files");
    let refusal = files.iter().find_map(|(_, file)| file.refusal.clone());
    assert_eq!(refusal, None, "the host has left");
    assert!(
        database
            .store()
            .subscription("ledger_101")
            .await
            .expect("an answer")
            .is_none()
    );
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
}

#[tokio::test]
async fn a_roll_back_catches_up_first_and_then_takes_the_readers() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_ledger("ledger.wasm", 102, "typed");
    host.once().await.expect("caught up");
    let stopped_at = database.position("ledger_101").await;
    database.append_moves(30).await;
    host.once().await.expect("caught up");
    assert_eq!(database.position("ledger_101").await, stopped_at);

    let said = shown(&database, &["activate", "ledger_101"]).await;
    let not_yet = shown(&database, &["activate", "ledger_101", "--wait", "0"]).await;
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    let status = shown(&database, &["status"]).await;
    host.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    assert_eq!(database.status("ledger_102").await, "Detached(Active)");
    database.until_ledger_is_right("ledger_101").await;
    // The file of the higher version is still there, which changes nothing.
    database.append_moves(5).await;
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    let again = shown(&database, &["activate", "ledger_101"]).await;
    let unknown = shown(&database, &["activate", "ledger"]).await;
    insta::with_settings!({filters => command_filters()}, {
        insta::assert_snapshot!([said, not_yet, status, again, unknown].join("\n"));
    });
}

/// Times and digests differ from run to run.
fn command_filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"\b[0-9a-f]{8}\b", "[digest]"),
        (r"since \d+ s", "since [time]"),
        (r"[\d,]+ events a second, \d+ s left", "[rate]"),
        (r" +\n", "\n"),
    ]
}

#[tokio::test]
async fn a_version_that_is_told_to_wait_goes_live_when_it_is_activated() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_bytes("second.toml", b"[versions]\nswitch = \"activated\"\n");
    modules.put_ledger("second.wasm", 102, "plain");
    host.once().await.expect("caught up");
    assert_eq!(database.status("ledger_102").await, "Active");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
    assert_eq!(database.status("ledger_101").await, "Active");

    let store = database.store();
    let wanted = admin::activate(&store, "ledger_102", Unseen::PassOver).await;
    assert_eq!(wanted.expect("wanted").outcome, admin::Activated::Wanted);
    host.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
}

#[tokio::test]
async fn a_wish_is_given_up_by_activating_what_is_live() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    modules.put_ledger("ledger.wasm", 102, "plain");
    host.once().await.expect("caught up");
    let store = database.store();
    for id in ["ledger_101", "ledger_102"] {
        admin::activate(&store, id, Unseen::PassOver)
            .await
            .expect("wanted");
    }

    host.once().await.expect("caught up");

    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    assert_eq!(database.status("ledger_101").await, "Active");
}

#[tokio::test]
async fn grants_and_what_users_built_on_the_line_survive_or_are_named() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    for sql in [
        format!("CREATE ROLE {role}"),
        format!(
            "GRANT SELECT ON ledger.account TO {role}; GRANT SELECT (balance) ON ledger.total TO {role}"
        ),
        "CREATE VIEW public.report AS SELECT id, balance FROM ledger.account".to_owned(),
        "CREATE TABLE ledger.notes (of_a_user text)".to_owned(),
    ] {
        execute(&database, &sql).await;
    }
    let may = async |what: &str| -> bool {
        let asked = format!("SELECT has_column_privilege('{role}', '{what}', 'balance', 'SELECT')");
        sqlx::query_scalar(AssertSqlSafe(asked))
            .fetch_one(database.pool())
            .await
            .expect("an answer")
    };

    // More columns and another order: everything stays.
    modules.put_ledger("ledger.wasm", 102, "wider");
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    assert!(may("ledger.account").await && may("ledger.total").await);
    // A column of another type, with a view of a user on it: the live version stays, and it is said why.
    modules.put_ledger("ledger.wasm", 103, "typed");
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_102"));
    assert_eq!(database.status("ledger_102").await, "Active");
    let row = database.store().line(LEDGER).await.expect("an answer");
    let obstacle = row.and_then(|row| row.obstacle).expect("an obstacle");
    assert!(obstacle.contains("view public.report"), "{obstacle}");
    database.append_moves(3).await;
    host.once().await.expect("caught up");
    database.until_ledger_is_right("ledger_102").await;
    // Without it, it is switched, and the grants are there as before.
    execute(&database, "DROP VIEW public.report").await;
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_103"));
    assert!(may("ledger.account").await && may("ledger.total").await);
    execute(&database, "SELECT of_a_user FROM ledger.notes").await;
    execute(
        &database,
        &format!("DROP OWNED BY {role}; DROP ROLE {role}"),
    )
    .await;
}

#[tokio::test]
async fn what_was_in_the_way_is_forgotten_with_the_version_that_it_held_up() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    let mut host = stepped(&database, &modules).await;
    execute(
        &database,
        "CREATE VIEW public.report AS SELECT id FROM ledger.account",
    )
    .await;
    modules.put_ledger("second.wasm", 102, "typed");
    host.once().await.expect("caught up");
    let obstacle = async || {
        let row = database.store().line(LEDGER).await.expect("an answer");
        row.and_then(|row| row.obstacle)
    };
    let told = obstacle().await.unwrap_or_default();
    assert!(told.contains("view public.report"), "{told}");

    modules.remove("second.wasm");
    host.once().await.expect("caught up");

    assert_eq!(obstacle().await, None);
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_101"));
}
