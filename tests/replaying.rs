//! Events that were skipped are handed to their processor after all, once its trouble is over.

use projectionist::admin::{self, Done, Replay};
use projectionist::guest::Runtime;
use projectionist::store::NewEvent;
use serde_json::Value;
use subscription::{Kind, Resume, Status, SubscriberId};
use tempfile::TempDir;

use crate::support::command::{shown, typed};
use crate::support::log::{column, only};
use crate::support::modules::compiler;
use crate::support::process::modules;
use crate::support::rows::{projector, register};
use crate::support::{HostProcess, InProcess, Modules, PATIENCE, TestDatabase, eventually, guests};

const ID: &str = "skips_when_broken";

/// Three commands that the guest skipped, because it is broken.
async fn skipped() -> (TestDatabase, TempDir) {
    guests::build();
    let database = TestDatabase::new().await;
    let commands = ["Command", "Command", "Command"].map(NewEvent::new);
    database.append("orders", &commands).await;
    let modules = modules(&[ID]);
    set_broken(&modules, true);
    run_once(&database, &modules).await;
    assert_eq!(database.position(ID).await, 3);
    assert_eq!(database.status(ID).await, "Active");
    (database, modules)
}

fn set_broken(modules: &TempDir, broken: bool) {
    let settings = format!("[settings]\nbroken = {broken}\n");
    let path = modules.path().join(format!("{ID}.toml"));
    std::fs::write(path, settings).expect("written");
}

async fn run_once(database: &TestDatabase, modules: &TempDir) {
    let words = ["run", "--once", "--modules", "DIR"];
    let text = typed(database, modules, &words).await;
    assert!(text.ends_with("exit 0\n"), "{text}");
}

/// The commands that were answered, in the order of the answers, with whether the answer names its cause.
async fn answered(database: &TestDatabase) -> Vec<(i64, bool)> {
    sqlx::query_as(
        "SELECT (a.data ->> 'command_position')::bigint, a.causation_id = c.id
         FROM projectionist.events a
         JOIN projectionist.events c ON c.position = (a.data ->> 'command_position')::bigint
         WHERE a.type = 'Done' ORDER BY a.position",
    )
    .fetch_all(database.pool())
    .await
    .expect("answers")
}

#[tokio::test]
async fn what_was_skipped_is_handled_after_all_and_marked() {
    let (database, modules) = skipped().await;
    let mut text = String::new();
    let one = ["skipped", "replay", "--id", ID, "--position", "2"];
    text.push_str(&typed(&database, &modules, &one).await);
    assert_eq!(answered(&database).await, [], "it is still broken");

    set_broken(&modules, false);
    run_once(&database, &modules).await;
    let before = database.position(ID).await;
    text.push_str(&typed(&database, &modules, &one).await);
    assert_eq!(answered(&database).await, [(2, true)], "out of order");
    assert_eq!(database.position(ID).await, before, "the checkpoint stays");
    text.push_str(&shown(&database, &["skipped", "list"]).await);
    text.push_str(&typed(&database, &modules, &one).await);
    let rest = ["skipped", "replay", "--group", "processor", "--json"];
    text.push_str(&typed(&database, &modules, &rest).await);
    let all = ["skipped", "replay", "--all"];
    text.push_str(&typed(&database, &modules, &all).await);

    assert_eq!(
        answered(&database).await,
        [(2, true), (1, true), (3, true)],
        "each once"
    );
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_running_host_and_a_replay_do_not_get_into_each_others_way() {
    let (database, modules) = skipped().await;
    set_broken(&modules, false);
    let host = HostProcess::start(database.url(), modules.path());
    let appender = database.append_continuously();
    eventually(PATIENCE, async || {
        let row = database.subscription(ID).await;
        match row.settings.pointer("/settings/broken") == Some(&Value::from("false")) {
            true => Ok(()),
            false => Err(row.settings.to_string()),
        }
    })
    .await;

    let words = ["skipped", "replay", "--id", ID];
    let text = typed(&database, &modules, &words).await;

    appender.stop().await;
    assert!(text.ends_with("exit 0\n"), "{text}");
    let answered = answered(&database).await;
    assert_eq!(answered, [(1, true), (2, true), (3, true)]);
    assert_eq!(host.terminate(), Some(0));
}

#[tokio::test]
async fn what_cannot_be_replayed_says_why_and_what_to_do() {
    let (database, modules) = skipped().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    let processor = |id: &str| {
        let id = SubscriberId::parse(id, Kind::Processor).expect("an id");
        subscription::Descriptor::new(id, Kind::Processor)
    };
    register(&store, processor("fresh"), Status::New).await;
    let detached = Status::Detached(Resume::Active);
    register(&store, processor("gone"), detached).await;
    let mut text = String::new();
    for words in [
        &["skipped", "replay"] as &[&str],
        &["skipped", "replay", "--id", "accounts_1"],
        &["skipped", "replay", "--id", "fresh", "--id", "gone"],
        &["skipped", "replay", "--id", ID, "--position", "9"],
        &["skipped", "replay", "--group", "projector"],
        &["skipped", "replay", "--all"],
    ] {
        text.push_str(&typed(&database, &modules, words).await);
    }
    assert_eq!(answered(&database).await, []);
    insta::assert_snapshot!(text);
}

/// Waits until the counting guest has handled a position, and says what it counted.
async fn counted(database: &TestDatabase, position: i64) -> i64 {
    eventually(PATIENCE, async || {
        match database.position("tallies_commands").await {
            at if at >= position => Ok(()),
            at => Err(format!("it is at {at}")),
        }
    })
    .await;
    let counts: Vec<i64> = column(
        database.pool(),
        "SELECT commands FROM tallies_commands.tally",
    )
    .await;
    counts.first().copied().unwrap_or(0)
}

#[tokio::test]
async fn a_host_that_keeps_rows_in_hand_sees_what_a_replay_made_of_them() {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["tallies_commands"]),
    );
    let broken = |broken: bool| {
        let settings = format!("[settings]\nbroken = {broken}\n");
        modules.put_bytes("tallies_commands.toml", settings.as_bytes());
    };
    let append = async |event_type: &str| {
        let appended = database.append("s", &[NewEvent::new(event_type)]).await;
        appended[0].position
    };
    broken(true);
    let skipped = append("Command").await;
    let _host = InProcess::start(&database, &modules).await;
    database.until_status("tallies_commands", "Active").await;
    assert_eq!(counted(&database, skipped).await, 0);
    broken(false);
    eventually(PATIENCE, async || {
        let row = database.subscription("tallies_commands").await;
        match row.settings.pointer("/settings/broken") == Some(&Value::from("false")) {
            true => Ok(()),
            false => Err(row.settings.to_string()),
        }
    })
    .await;
    let handled = append("Command").await;
    assert_eq!(counted(&database, handled).await, 1);

    let replay = Replay {
        store: database.store(),
        runtime: Runtime::new().expect("a runtime"),
        compiler: compiler(),
        lane_patience: PATIENCE,
    };
    let replayed = replay.replay(&only("tallies_commands"), &[]).await;
    let replayed = replayed.expect("an answer");
    assert_eq!(replayed[0].result, Done::Done, "{replayed:?}");
    assert_eq!(counted(&database, handled).await, 2);

    // What nobody wants moves the checkpoint, without a batch that would look at the row.
    let noise = append("Noise").await;
    assert_eq!(counted(&database, noise).await, 2);
    let last = append("Command").await;
    assert_eq!(counted(&database, last).await, 3);
    let listed = admin::skipped(&database.store(), &only("tallies_commands")).await;
    assert!(listed.expect("a list")[0].replayed_at.is_some());
}
