//! Taking over what a guest says about itself now: nothing of it before an operator asks, and then what the rules allow.

use projectionist::admin::{self, Change, Done};
use projectionist::store::{NewEvent, Store};
use sha2::{Digest as _, Sha256};
use subscription::{Criteria, Descriptor, Kind, RunMode, Status, SubscriberId};

use crate::support::command::shown;
use crate::support::log::{column, only};
use crate::support::rows::{projector, register};
use crate::support::{Modules, TestDatabase, stepped};

fn processor(id: &str) -> Descriptor {
    let id = SubscriberId::parse(id, Kind::Processor).expect("an id");
    Descriptor::new(id, Kind::Processor)
}

/// Other bytes whose descriptor is this one take over, as a host lets them that found them in its directory.
async fn say(store: &Store, id: &str, said: &Descriptor) {
    let bytes = format!("{said:?}");
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let kept = store.keep_module(&digest, bytes.as_bytes(), said).await;
    kept.expect("kept the module");
    let row = store.subscription(id).await.expect("an answer");
    let row = row.expect("it is there");
    let swap = projectionist::store::Swap {
        id,
        from: &row.module,
        to: &digest,
        descriptor: &subscription::swapped(&row.descriptor, said),
        settings: &row.settings,
    };
    assert!(store.swap_module(&swap).await.expect("swapped"));
}

async fn refresh(store: &Store, criteria: &Criteria) -> Vec<Change> {
    admin::refresh(store, criteria).await.expect("an answer")
}

/// What is stored, in the columns and in the descriptor.
async fn stored(database: &TestDatabase, id: &str) -> (String, String, i64, i64) {
    sqlx::query_as(
        "SELECT s.group_name, s.run_mode, s.start_position, c.position FROM projectionist.subscriptions s
         JOIN projectionist.checkpoints c ON c.subscription = s.id WHERE s.id = $1",
    )
    .bind(id)
    .fetch_one(database.pool())
    .await
    .expect("a row")
}

#[tokio::test]
async fn a_group_and_a_filter_wait_for_the_operator_and_are_taken_over_together() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["appends"]);
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    modules.put("appends.wasm", "appends_changed");
    let order = || NewEvent::new("OrderPlaced");

    database.append("orders", &[order()]).await;
    host.once().await.expect("caught up");
    let before = shown(&database, &["status"]).await;
    let answered = || async {
        column::<i64>(
            database.pool(),
            "SELECT (data ->> 'command_position')::bigint FROM projectionist.events WHERE type = 'Done' ORDER BY 1",
        )
        .await
    };
    assert_eq!(answered().await, [0; 0], "its old filter holds");
    assert_eq!(database.subscription("appends").await.group, "processor");

    let text = shown(&database, &["refresh", "--id", "appends"]).await;
    let wanted = database.append("orders", &[order()]).await[0].position;
    host.once().await.expect("caught up");

    assert_eq!(answered().await, [wanted]);
    assert_eq!(database.subscription("appends").await.group, "crm");
    let again = shown(&database, &["refresh", "--group", "crm"]).await;
    let json = shown(&database, &["refresh", "--json"]).await;
    insta::with_settings!({filters => vec![(r"(?m) [0-9a-f]{8} *$", " [module]")]}, {
        insta::assert_snapshot!([before, text, again, json].join("\n"));
    });
}

#[tokio::test]
async fn a_run_mode_is_taken_over_while_nothing_has_begun() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let head = database.append_ticks(5).await;
    register(&store, processor("mails"), Status::New).await;
    for (mode, name, start) in [
        (RunMode::FromPosition(3), "from-position", 3),
        (RunMode::FromNow, "from-now", head),
        (RunMode::Once, "once", 0),
        (RunMode::FromBeginning, "from-beginning", 0),
    ] {
        let said = Descriptor {
            run_mode: mode,
            ..processor("mails")
        };
        say(&store, "mails", &said).await;

        let changes = refresh(&store, &only("mails")).await;

        assert_eq!(changes[0].result, Done::Done, "{changes:?}");
        let expected = ("processor".to_owned(), name.to_owned(), start, start);
        assert_eq!(stored(&database, "mails").await, expected);
        let row = store.subscription("mails").await.expect("an answer");
        assert_eq!(row.expect("it is there").run_mode, mode);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_over_says_so_for_each_subscription() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    register(&store, processor("mails"), Status::Active).await;
    register(&store, projector("orders_1"), Status::New).await;
    let once = |guest: Descriptor| Descriptor {
        run_mode: RunMode::Once,
        ..guest
    };
    say(&store, "accounts_1", &once(projector("accounts_1"))).await;
    let mails = Descriptor {
        group: "crm".to_owned(),
        ..once(processor("mails"))
    };
    say(&store, "mails", &mails).await;

    let mut text = shown(&database, &["refresh"]).await;
    for words in [
        &["refresh", "--id", "accounts_1"] as &[&str],
        &["refresh", "--id", "mails", "--json"],
        &["refresh", "--group", "crm", "--id", "accounts_1"],
    ] {
        text.push_str(&shown(&database, words).await);
    }
    insta::assert_snapshot!(text);
    assert_eq!(stored(&database, "mails").await.0, "crm");
    assert_eq!(stored(&database, "accounts_1").await.1, "from-beginning");
}
