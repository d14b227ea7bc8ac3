//! Versions of a processor: the next one goes on exactly where the one before stopped, with its state rebuilt or without.

use projectionist::admin;
use projectionist::store::Unseen;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::log::{Appender, column, event, only};
use crate::support::versions::numbered;
use crate::support::{
    HostProcess, InProcess, Modules, PATIENCE, TestDatabase, eventually, stepped,
};

const LINE: &str = "mailer";

fn put(modules: &Modules, guest: &str, version: u32) {
    modules.put_bytes("mailer.wasm", &numbered(guest, LINE, version));
}

async fn append_commands(database: &TestDatabase, count: usize) -> Vec<i64> {
    let commands = vec![event("Command", &json!({})); count];
    let appended = database.append("orders", &commands).await;
    appended.into_iter().map(|event| event.position).collect()
}

/// The commands that a version dealt with, in order; and whether its answers were dropped.
async fn dealt_with(database: &TestDatabase, id: &str) -> Vec<(i64, bool)> {
    let select =
        format!("SELECT position, muted::boolean FROM \"{id}\".answered ORDER BY position");
    sqlx::query_as(AssertSqlSafe(select))
        .fetch_all(database.pool())
        .await
        .unwrap_or_default()
}

async fn unmuted(database: &TestDatabase, id: &str) -> Vec<i64> {
    let all = dealt_with(database, id).await;
    all.into_iter()
        .filter_map(|(position, muted)| (!muted).then_some(position))
        .collect()
}

/// The positions of the commands that were answered, from the answers, in the order of the commands.
async fn answered(database: &TestDatabase) -> Vec<i64> {
    column(
        database.pool(),
        "SELECT (data ->> 'command_position')::bigint FROM projectionist.events WHERE type = 'Done' ORDER BY 1",
    )
    .await
}

async fn commands(database: &TestDatabase) -> Vec<i64> {
    let select = "SELECT position FROM projectionist.events WHERE type = 'Command' ORDER BY 1";
    column(database.pool(), select).await
}

/// Each command was dealt with by exactly one of two versions, first by the one and then by the other.
async fn assert_each_once(database: &TestDatabase, first: &str, second: &str) {
    let (one, two) = (
        unmuted(database, first).await,
        unmuted(database, second).await,
    );
    let both: Vec<i64> = one.iter().chain(&two).copied().collect();
    assert_eq!(both, commands(database).await, "{first}, then {second}");
    assert_eq!(answered(database).await, commands(database).await);
}

/// A database in which version 101 has answered 20 commands.
async fn with_one_at_work(modules: &Modules) -> TestDatabase {
    let database = TestDatabase::new().await;
    put(modules, "mailer", 101);
    let mut host = stepped(&database, modules).await;
    host.once().await.expect("caught up");
    append_commands(&database, 20).await;
    host.once().await.expect("caught up");
    assert_eq!(unmuted(&database, "mailer_101").await.len(), 20);
    database
}

async fn until_all_answered(database: &TestDatabase) {
    eventually(PATIENCE, async || {
        let (asked, done) = (commands(database).await, answered(database).await);
        match asked == done {
            true => Ok(()),
            false => Err(format!("{} of {} are answered", done.len(), asked.len())),
        }
    })
    .await;
}

fn append_commands_continuously(database: &TestDatabase) -> Appender {
    database.append_of_type_continuously("Command", "orders")
}

#[tokio::test]
async fn a_later_version_goes_on_where_the_one_before_stopped() {
    let modules = Modules::new();
    let database = with_one_at_work(&modules).await;
    let mut host = stepped(&database, &modules).await;

    put(&modules, "mailer", 102);
    append_commands(&database, 8).await;
    host.once().await.expect("caught up");

    assert_eq!(database.status("mailer_101").await, "Detached(Active)");
    assert_eq!(database.live(LINE).await.as_deref(), Some("mailer_102"));
    assert_eq!(unmuted(&database, "mailer_101").await.len(), 20);
    assert_each_once(&database, "mailer_101", "mailer_102").await;
}

#[tokio::test]
async fn a_version_that_rebuilds_its_state_deals_with_all_and_answers_only_what_is_new() {
    let modules = Modules::new();
    let database = with_one_at_work(&modules).await;
    let mut host = stepped(&database, &modules).await;

    put(&modules, "mailer_rebuilds", 102);
    host.once().await.expect("caught up");
    let new = append_commands(&database, 8).await;
    host.once().await.expect("caught up");

    assert_eq!(database.status("mailer_101").await, "Detached(Active)");
    assert_eq!(database.status("mailer_102").await, "Active");
    assert_eq!(dealt_with(&database, "mailer_102").await.len(), 28);
    assert_eq!(unmuted(&database, "mailer_102").await, new);
    assert_each_once(&database, "mailer_101", "mailer_102").await;
}

#[tokio::test]
async fn a_rebuild_that_is_interrupted_goes_on_without_effects() {
    let modules = Modules::new();
    let database = with_one_at_work(&modules).await;
    put(&modules, "mailer_rebuilds", 102);
    let mut host = stepped(&database, &modules).await;
    host.once_at_most(Some(12)).await.expect("stepped");
    assert_eq!(dealt_with(&database, "mailer_102").await.len(), 12);
    assert_eq!(unmuted(&database, "mailer_102").await, [0; 0]);
    assert_eq!(database.status("mailer_101").await, "Active");
    drop(host);

    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    append_commands(&database, 5).await;
    host.once().await.expect("caught up");

    assert_eq!(dealt_with(&database, "mailer_102").await.len(), 25);
    assert_each_once(&database, "mailer_101", "mailer_102").await;
}

#[tokio::test]
async fn a_rebuild_that_fails_has_no_effects_and_leaves_the_one_before_at_work() {
    let modules = Modules::new();
    let database = with_one_at_work(&modules).await;
    database
        .append("orders", &[event("Poison", &json!({}))])
        .await;
    put(&modules, "mailer_rebuilds", 102);
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    append_commands(&database, 5).await;
    host.once().await.expect("caught up");

    assert_eq!(database.status("mailer_102").await, "Error(Booting)");
    assert_eq!(unmuted(&database, "mailer_102").await, [0; 0]);
    assert_eq!(
        unmuted(&database, "mailer_101").await,
        commands(&database).await
    );
    // The operator leaves the event out: the rest is still without effects.
    let skipped = admin::skip(&database.store(), &only("mailer_102"), None).await;
    skipped.expect("skipped");
    host.once().await.expect("caught up");
    append_commands(&database, 3).await;
    host.once().await.expect("caught up");

    assert_eq!(database.live(LINE).await.as_deref(), Some("mailer_102"));
    assert_eq!(unmuted(&database, "mailer_102").await.len(), 3);
    assert_each_once(&database, "mailer_101", "mailer_102").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_commands_each_is_answered_by_one_version() {
    for guest in ["mailer", "mailer_rebuilds"] {
        let modules = Modules::new();
        let database = with_one_at_work(&modules).await;
        let _host = InProcess::start(&database, &modules).await;
        let appender = append_commands_continuously(&database);

        put(&modules, guest, 102);
        database.until_live(LINE, "mailer_102").await;
        eventually(PATIENCE, async || {
            match unmuted(&database, "mailer_102").await.len() {
                5.. => Ok(()),
                few => Err(format!("{few} answered by the new version")),
            }
        })
        .await;

        appender.stop().await;
        until_all_answered(&database).await;
        assert_each_once(&database, "mailer_101", "mailer_102").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_takes_over_it_repeats_and_loses_nothing() {
    for (guest, failpoint) in [
        ("mailer", "version-registering"),
        ("mailer", "version-registered"),
        ("mailer_rebuilds", "version-registered"),
        ("mailer_rebuilds", "switch-lanes-locked"),
        ("mailer_rebuilds", "switch-committing"),
        ("mailer_rebuilds", "switch-committed"),
    ] {
        let modules = Modules::new();
        let database = with_one_at_work(&modules).await;
        put(&modules, guest, 102);
        append_commands(&database, 5).await;

        let host = HostProcess::dying_at(database.url(), modules.path(), failpoint);
        host.until_dead().await;
        append_commands(&database, 5).await;
        let _host = HostProcess::start(database.url(), modules.path());

        database.until_live(LINE, "mailer_102").await;
        append_commands(&database, 5).await;
        until_all_answered(&database).await;
        assert_each_once(&database, "mailer_101", "mailer_102").await;
        assert_eq!(
            database.status("mailer_101").await,
            "Detached(Active)",
            "{failpoint}"
        );
    }
}

#[tokio::test]
async fn a_roll_back_goes_on_where_the_later_version_stops_unless_effects_are_to_be_repeated() {
    let modules = Modules::new();
    let database = with_one_at_work(&modules).await;
    let mut host = stepped(&database, &modules).await;
    put(&modules, "mailer", 102);
    host.once().await.expect("caught up");
    let second = append_commands(&database, 4).await;
    host.once().await.expect("caught up");
    assert_eq!(unmuted(&database, "mailer_102").await, second);

    let store = database.store();
    let back = admin::activate(&store, "mailer_101", Unseen::PassOver).await;
    assert_eq!(back.expect("done").outcome, admin::Activated::Live);
    let third = append_commands(&database, 3).await;
    host.once().await.expect("caught up");

    assert_eq!(unmuted(&database, "mailer_102").await, second);
    assert_eq!(unmuted(&database, "mailer_101").await[20..], third);
    assert_eq!(answered(&database).await, commands(&database).await);

    let forth = admin::activate(&store, "mailer_102", Unseen::Repeat).await;
    assert_eq!(forth.expect("done").outcome, admin::Activated::Live);
    host.once().await.expect("caught up");
    let again: Vec<i64> = second.into_iter().chain(third).collect();
    assert_eq!(unmuted(&database, "mailer_102").await, again);
}

#[tokio::test]
async fn a_roll_back_to_a_version_that_rebuilds_makes_up_for_its_state_without_effects() {
    let modules = Modules::new();
    let database = TestDatabase::new().await;
    put(&modules, "mailer_rebuilds", 101);
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    append_commands(&database, 5).await;
    host.once().await.expect("caught up");
    put(&modules, "mailer", 102);
    host.once().await.expect("caught up");
    append_commands(&database, 5).await;
    host.once().await.expect("caught up");

    let store = database.store();
    let back = admin::activate(&store, "mailer_101", Unseen::PassOver).await;
    assert_eq!(back.expect("wanted").outcome, admin::Activated::Wanted);
    host.once().await.expect("caught up");
    append_commands(&database, 5).await;
    host.once().await.expect("caught up");

    assert_eq!(database.live(LINE).await.as_deref(), Some("mailer_101"));
    let all = dealt_with(&database, "mailer_101").await;
    let muted: Vec<bool> = all.iter().map(|(_, muted)| *muted).collect();
    assert_eq!(all.len(), 15);
    assert_eq!(muted, [[false; 5], [true; 5], [false; 5]].concat());
    assert_eq!(answered(&database).await, commands(&database).await);
}

#[tokio::test]
async fn effects_are_repeated_when_the_operator_says_so() {
    let modules = Modules::new();
    let database = TestDatabase::new().await;
    modules.put_bytes("appends.wasm", &numbered("mailer", LINE, 101));
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    append_commands(&database, 6).await;
    host.once().await.expect("caught up");

    modules.put_bytes("mailer.toml", b"[versions]\nrepeat-effects = true\n");
    put(&modules, "mailer_from_beginning", 102);
    host.once().await.expect("caught up");

    assert_eq!(unmuted(&database, "mailer_102").await.len(), 6);
    assert_eq!(database.status("mailer_101").await, "Detached(Active)");
}
