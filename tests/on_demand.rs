//! Catching up without a host: `run --once` for some subscriptions, and `append --run`, which answers when its event is seen.

use projectionist::store::NewEvent;
use subscription::{Consistency, Descriptor, Status};

use crate::support::command::typed;
use crate::support::log::column;
use crate::support::process::modules;
use crate::support::rows::{projector, register};
use crate::support::{TestDatabase, guests};

async fn empty() -> TestDatabase {
    guests::build();
    TestDatabase::new().await
}

#[tokio::test]
async fn only_the_subscriptions_that_are_meant_catch_up() {
    let database = empty().await;
    database.append_ticks(3).await;
    let modules = modules(&["records", "counts_rows", "appends_from_beginning"]);
    let one = ["run", "--once", "--modules", "DIR", "--id", "records_1"];
    let mut text = typed(&database, &modules, &one).await;
    assert_eq!(database.status("records_1").await, "Active");
    assert_eq!(database.status("appends_from_beginning").await, "New");

    let group = ["run", "--once", "--modules", "DIR", "--group", "processor"];
    text.push_str(&typed(&database, &modules, &group).await);
    assert_eq!(database.status("appends_from_beginning").await, "Active");
    assert_eq!(database.status("counts_rows_1").await, "New");

    for words in [
        &["run", "--once", "--modules", "DIR", "--id", "record_1"] as &[&str],
        &["run", "--modules", "DIR", "--id", "records_1"],
    ] {
        text.push_str(&typed(&database, &modules, words).await);
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_exit_code_speaks_of_those_that_are_meant() {
    let database = empty().await;
    database.append("s", &[NewEvent::new("Poison")]).await;
    let modules = modules(&["records", "traps_in_handle"]);
    let run = ["run", "--once", "--modules", "DIR"];
    let all = typed(&database, &modules, &run).await;
    assert!(all.ends_with("exit 1\n"), "{all}");
    let well = [&run[..], &["--id", "records_1"]].concat();
    let well = typed(&database, &modules, &well).await;
    assert!(well.ends_with("exit 0\n"), "{well}");
    database.append_ticks(2).await;
    let json = [&run[..], &["--json", "--limit", "1"]].concat();
    let json = typed(&database, &modules, &json).await;
    insta::with_settings!({filters => guests::filters()}, {
        insta::assert_snapshot!(json);
    });
}

#[tokio::test]
async fn an_append_sees_to_it_that_the_read_models_it_names_have_its_event() {
    let database = empty().await;
    database.append_ticks(3).await;
    let modules = modules(&["records", "records_2"]);
    let setup = ["setup", "--modules", "DIR", "--id", "records_1"];
    typed(&database, &modules, &setup).await;
    let append = ["append", "--stream", "s", "--type", "Opened", "--run"];
    let named = [&append[..], &["--for", "records_1"]].concat();

    let mut text = typed(&database, &modules, &named).await;

    let seen = database.seen("records_1").await.expect("rows");
    assert_eq!(seen.len(), 4, "history and the event: {text}");
    let json = [&append[..], &["--for-group", "projector", "--json"]].concat();
    text.push_str(&typed(&database, &modules, &json).await);
    let wrong = [&append[..], &["--for", "record_1"]].concat();
    text.push_str(&typed(&database, &modules, &wrong).await);
    assert_eq!(database.store().head().await.expect("a head"), 5);
    insta::with_settings!({filters => vec![(r"[0-9a-f]{8}-[0-9a-f-]{27}", "[uuid]")]}, {
        insta::assert_snapshot!(text);
    });
}

#[tokio::test]
async fn an_append_catches_up_those_that_are_marked_strong_and_says_when_one_cannot_come() {
    let database = empty().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    let modules = modules(&[]);
    let append = ["append", "--stream", "s", "--type", "Opened", "--run"];
    let nobody = typed(&database, &modules, &append).await;
    assert!(nobody.ends_with("exit 0\n"), "nobody is strong: {nobody}");
    let strong = Descriptor {
        consistency: Consistency::Strong,
        ..projector("orders_1")
    };
    register(&store, strong, Status::Active).await;

    let text = typed(&database, &modules, &append).await;

    // Its stored module is none, so that it fails, and the wait is over at once.
    assert_eq!(database.status("orders_1").await, "Error(Active)");
    assert_eq!(database.position("accounts_1").await, 0);
    insta::with_settings!({filters => vec![(r"[0-9a-f]{8}-[0-9a-f-]{27}", "[uuid]")]}, {
        insta::assert_snapshot!(text);
    });
}

#[tokio::test]
async fn a_guest_that_answers_itself_is_waited_for_up_to_the_event_and_no_further() {
    let database = empty().await;
    let modules = modules(&["answers_itself"]);
    let setup = ["setup", "--modules", "DIR"];
    typed(&database, &modules, &setup).await;
    let append = ["append", "--stream", "s", "--type", "Opened", "--run"];
    for round in 1..=3 {
        let text = typed(&database, &modules, &append).await;

        assert!(text.ends_with("exit 0\n"), "{text}");
        let appended: Vec<i64> = column(
            database.pool(),
            "SELECT position FROM projectionist.events WHERE type = 'Opened' ORDER BY position",
        )
        .await;
        assert_eq!(appended.len(), round);
        let position = database.position("answers_itself").await;
        assert_eq!(Some(&position), appended.last(), "no further");
    }
}
