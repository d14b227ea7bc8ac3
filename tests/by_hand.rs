//! What a host does by itself, done step by step by an operator while none runs: set up, boot, catch up with a limit.

use projectionist::store::{ExpectedVersion, NewEvent};
use subscription::{Resume, Status};

use crate::support::command::typed;
use crate::support::process::modules;
use crate::support::{TestDatabase, guests};

async fn log_of(count: usize) -> TestDatabase {
    guests::build();
    let database = TestDatabase::new().await;
    let events: Vec<NewEvent> = (0..count).map(|_| NewEvent::new("Opened")).collect();
    let appended = database.store();
    let appended = appended.append("s", ExpectedVersion::Any, &events).await;
    appended.expect("appended");
    database
}

async fn stands(database: &TestDatabase, id: &str) -> (Status, i64) {
    let store = database.store();
    let row = store.subscription(id).await.expect("an answer");
    let lanes = store.lanes(Some(id)).await.expect("lanes");
    (row.expect("it is there").status, lanes[0].position)
}

async fn handled(database: &TestDatabase) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM records_1.seen ORDER BY position")
        .fetch_all(database.pool())
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_subscription_is_set_up_and_booted_by_hand_from_where_the_operator_says() {
    let database = log_of(5).await;
    let modules = modules(&["records"]);
    let mut text = String::new();
    let setup = ["setup", "--modules", "DIR", "--from", "2"];
    text.push_str(&typed(&database, &modules, &setup).await);
    assert_eq!(stands(&database, "records_1").await, (Status::Booting, 2));
    for words in [
        &["setup"] as &[&str],
        &["setup", "--id", "records_1", "--from", "beginning"],
        &["boot", "--limit", "1"],
    ] {
        text.push_str(&typed(&database, &modules, words).await);
    }
    assert_eq!(stands(&database, "records_1").await, (Status::Booting, 3));
    for words in [&["boot"] as &[&str], &["boot", "--id", "records_1"]] {
        text.push_str(&typed(&database, &modules, words).await);
    }
    assert_eq!(stands(&database, "records_1").await, (Status::Active, 5));
    assert_eq!(handled(&database).await, [3, 4, 5]);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn catching_up_with_a_limit_leaves_the_rest_for_the_next_time() {
    let database = log_of(5).await;
    let modules = modules(&["records"]);
    let mut text = String::new();
    let setup = ["setup", "--modules", "DIR", "--skip-boot"];
    text.push_str(&typed(&database, &modules, &setup).await);
    assert_eq!(stands(&database, "records_1").await, (Status::Active, 0));
    let limited = ["run", "--once", "--modules", "DIR", "--limit", "2"];
    text.push_str(&typed(&database, &modules, &limited).await);
    assert_eq!(handled(&database).await, [1, 2]);
    let all = ["run", "--once", "--modules", "DIR"];
    text.push_str(&typed(&database, &modules, &all).await);
    assert_eq!(handled(&database).await, [1, 2, 3, 4, 5]);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn from_now_leaves_history_out() {
    let database = log_of(3).await;
    let modules = modules(&["records"]);
    let setup = ["setup", "--modules", "DIR", "--from", "now"];
    typed(&database, &modules, &setup).await;
    assert_eq!(stands(&database, "records_1").await, (Status::Booting, 3));
}

#[tokio::test]
async fn a_setup_by_hand_that_fails_is_an_error_like_any_other() {
    let database = log_of(1).await;
    let modules = modules(&["fails_in_setup"]);
    let setup = ["setup", "--modules", "DIR"];
    let text = typed(&database, &modules, &setup).await;
    let (status, _) = stands(&database, "fails_in_setup_1").await;
    assert_eq!(status, Status::Error(Resume::New));
    insta::assert_snapshot!(text);
}
