//! Versions of a line: built beside the one that readers see, then shown in its place.

use sqlx::{AssertSqlSafe, Executor as _};

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
