//! What is one transaction: a batch with its checkpoint, and for a guest that wants it each event alone.

use projectionist::engine::Notice;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::log::event;
use crate::support::obeys::Script;
use crate::support::stage::Stage;

const PROJECTOR: &str = "obeys_aa_1";
const PROCESSOR: &str = "answers_aa";

/// The transactions that wrote the rows of a guest, in the order of the events, each once.
async fn writers(stage: &Stage, id: &str) -> Vec<String> {
    let select = format!("SELECT xmin::text FROM \"{id}\".seen ORDER BY position");
    let writers = sqlx::query_scalar(AssertSqlSafe(select));
    let mut writers: Vec<String> = writers
        .fetch_all(stage.database.pool())
        .await
        .expect("rows");
    writers.dedup();
    writers
}

/// The transaction that moved the checkpoint last.
async fn mover(stage: &Stage, id: &str) -> String {
    sqlx::query_scalar("SELECT xmin::text FROM projectionist.checkpoints WHERE subscription = $1")
        .bind(id)
        .fetch_one(stage.database.pool())
        .await
        .expect("a checkpoint")
}

/// Events of each batch that is committed while a host catches up.
async fn batches(stage: &mut Stage) -> Vec<usize> {
    let mut notices = stage.host.notices();
    stage.catch_up().await;
    let mut batches = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Committed { events, .. } = notice
            && events > 0
        {
            batches.push(events);
        }
    }
    batches
}

#[tokio::test]
async fn a_batch_and_its_checkpoint_are_one_transaction() {
    let mut stage = Stage::registered(&[Script::projector(PROJECTOR)], 0).await;
    stage.catch_up().await;
    for events in [1, 2] {
        stage.database.append_ticks(events).await;
        assert_eq!(batches(&mut stage).await, [events]);
        let writers = writers(&stage, PROJECTOR).await;
        assert_eq!(writers.len(), events, "one transaction for each batch");
        assert_eq!(writers.last(), Some(&mover(&stage, PROJECTOR).await));
    }
}

#[tokio::test]
async fn a_processor_has_a_transaction_for_each_event() {
    let mut stage = Stage::registered(&[Script::processor(PROCESSOR)], 0).await;
    stage.catch_up().await;
    let command = event("Command", &json!({}));
    stage
        .database
        .append("orders", &[command.clone(), command])
        .await;

    let batches = batches(&mut stage).await;

    assert_eq!(batches, [1, 1]);
    assert_eq!(writers(&stage, PROCESSOR).await.len(), 2);
}

#[tokio::test]
async fn a_batch_of_events_that_nobody_wants_needs_no_guest() {
    let ticks_alone = Script {
        filter: "ticks",
        ..Script::projector(PROJECTOR)
    };
    let mut stage = Stage::registered(&[ticks_alone], 1).await;
    stage.catch_up().await;
    // Whatever handles an event from now on fails.
    let broken =
        "ALTER TABLE obeys_aa_1.seen ADD CONSTRAINT no_more CHECK (position < 2) NOT VALID";
    sqlx::raw_sql(broken)
        .execute(stage.database.pool())
        .await
        .expect("altered");
    let other = event("Other", &json!({}));
    stage.database.append("s", &[other.clone(), other]).await;

    assert_eq!(batches(&mut stage).await, [0; 0]);

    let stands = stage.stands(PROJECTOR).await;
    assert_eq!(stands, ("Active".to_owned(), 3));
}
