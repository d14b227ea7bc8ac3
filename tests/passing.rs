//! Lanes at the head whose guests want nothing of what comes: nobody touches them, and they miss nothing.

use projectionist::store::NewEvent;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::log::event;
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually};

const ID: &str = "wants_some_1";

/// More than the newest events that a host keeps at hand, in one transaction.
const VERY_MANY: usize = 1_500;

/// One of a size that is not kept at hand.
const LARGE_BYTES: usize = 5 * 1024 * 1024;

fn wanted() -> NewEvent {
    NewEvent {
        tags: vec!["vip".to_owned()],
        ..NewEvent::new("Moved")
    }
}

async fn append_wanted(database: &TestDatabase) -> i64 {
    database.append("customer-1", &[wanted()]).await[0].position
}

/// Waits until its checkpoint is there.
async fn until_at(database: &TestDatabase, id: &str, position: i64) {
    eventually(PATIENCE, async || match database.position(id).await {
        at if at == position => Ok(()),
        at => Err(format!("{id} is at {at} and not at {position}")),
    })
    .await;
}

/// A host whose one guest follows the head.
async fn following(database: &TestDatabase, modules: &Modules) -> InProcess {
    let host = InProcess::start(database, modules).await;
    let position = append_wanted(database).await;
    database.until_status(ID, "Active").await;
    database.until_live("wants_some", ID).await;
    until_at(database, ID, position).await;
    host
}

async fn seen(database: &TestDatabase) -> Vec<i64> {
    let seen = database.seen(ID).await.expect("rows");
    seen.into_iter().map(|row| row.position).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_comes_after_whatever_was_not() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["wants_some"]));
    let host = following(&database, &modules).await;
    let mut expected = seen(&database).await;
    for round in 0..40 {
        // Now and then it has been left alone for a while, and now and then not.
        let passed = database.append_ticks(round % 4).await;
        if round % 8 == 3 {
            until_at(&database, ID, passed).await;
        }
        expected.push(append_wanted(&database).await);
        database.until_seen(ID, expected.len()).await;
    }

    let mut many = vec![event("Tick", &json!({})); VERY_MANY];
    many[VERY_MANY / 2] = wanted();
    let first = database.append("many", &many).await[0].position;
    expected.push(first + VERY_MANY as i64 / 2);
    database.until_seen(ID, expected.len()).await;

    let large = event("Tick", &json!({ "text": "x".repeat(LARGE_BYTES) }));
    database.append("large", &[large]).await;
    let last = append_wanted(&database).await;
    expected.push(last);
    database.until_seen(ID, expected.len()).await;

    assert_eq!(seen(&database).await, expected);
    until_at(&database, ID, last).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_be_wanted_by_another_filter_is_handled() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["wants_some"]));
    let host = following(&database, &modules).await;
    let other = "UPDATE projectionist.subscriptions
                    SET descriptor = replace(descriptor::text, '\"vip\"', '\"vop\"')::json WHERE id = 'wants_some_1';
                 SELECT pg_notify('projectionist_control', '')";
    let changed = sqlx::raw_sql(other).execute(database.pool()).await;
    changed.expect("changed");
    let tagged = NewEvent {
        tags: vec!["vop".to_owned()],
        ..NewEvent::new("Moved")
    };

    let position = eventually(PATIENCE, async || {
        append_wanted(&database).await;
        let position = database
            .append("customer-1", std::slice::from_ref(&tagged))
            .await[0]
            .position;
        until_at_or_after(&database, position).await;
        let seen = seen(&database).await;
        match seen.contains(&position) && !seen.contains(&(position - 1)) {
            true => Ok(position),
            false => Err(format!(
                "{position} is not among {seen:?}, or the one before is"
            )),
        }
    })
    .await;

    assert_eq!(seen(&database).await.last(), Some(&position));
    host.stop().await;
}

async fn until_at_or_after(database: &TestDatabase, position: i64) {
    eventually(PATIENCE, async || match database.position(ID).await {
        at if at >= position => Ok(()),
        at => Err(format!("{ID} is at {at} and not at {position}")),
    })
    .await;
}

/// As after a crash of the server: nobody waits for the disk, so read model and checkpoint go back together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_lost_is_handled_again_and_not_passed() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["wants_some"]));
    let host = following(&database, &modules).await;
    let position = append_wanted(&database).await;
    database.until_seen(ID, 2).await;
    until_at(&database, ID, position).await;
    let passed = database.append_ticks(1).await;
    until_at(&database, ID, passed).await;

    let lose = format!(
        "DELETE FROM {ID}.seen WHERE position = {position};
         UPDATE projectionist.checkpoints SET position = {position} - 1 WHERE subscription = '{ID}'"
    );
    let lost = sqlx::raw_sql(AssertSqlSafe(lose)).execute(database.pool());
    lost.await.expect("lost");
    let passed = database.append_ticks(1).await;
    until_at(&database, ID, passed).await;

    assert_eq!(seen(&database).await.last(), Some(&position));
    host.stop().await;
}

/// Two hosts leave the lane alone, and one of them gets up first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_two_hosts_nothing_is_missed_and_nothing_handled_twice() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["wants_some"]));
    let one = following(&database, &modules).await;
    let other = InProcess::start(&database, &modules).await;
    let mut expected = seen(&database).await;
    for round in 0..60 {
        database.append_ticks(round % 3).await;
        expected.push(append_wanted(&database).await);
        if round % 5 == 0 {
            database.until_seen(ID, expected.len()).await;
        }
    }
    database.until_seen(ID, expected.len()).await;
    assert_eq!(seen(&database).await, expected);
    one.stop().await;
    expected.push(append_wanted(&database).await);
    database.until_seen(ID, expected.len()).await;
    other.stop().await;
}
