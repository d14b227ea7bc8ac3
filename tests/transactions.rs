//! What is one transaction: a batch with its checkpoint, and for a guest that wants it each event alone.

use projectionist::engine::Notice;
use projectionist::store::{Batch, Durability, Grant, LaneKey, Opening, Store};
use serde_json::json;
use sqlx::AssertSqlSafe;
use subscription::{BATCH_STATEMENTS, Status};
use tokio_util::sync::CancellationToken;

use crate::support::TestDatabase;
use crate::support::log::event;
use crate::support::obeys::Script;
use crate::support::rows::{projector, register};
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

/// What a transaction overwrites is in the way of those that follow in it.
#[tokio::test]
async fn a_batch_ends_after_the_chunk_with_its_last_statement() {
    let mut stage = Stage::registered(&[Script::projector(PROJECTOR)], 0).await;
    stage.catch_up().await;
    let statements = usize::try_from(BATCH_STATEMENTS).expect("a small number");
    stage.database.append_ticks(statements + 1).await;
    assert_eq!(batches(&mut stage).await, [statements, 1]);
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

/// Takes the lane again and again; how often. Generation and checkpoint are the same number in every moment.
async fn take_lane_until(store: Store, stop: CancellationToken) -> usize {
    let key = LaneKey {
        subscription: PROJECTOR.to_owned(),
        lane: 0,
    };
    let mut taken = 0;
    while !stop.is_cancelled() {
        let opening = Batch::open(&store, &key, Grant::Handle, Durability::Replayable).await;
        let Opening::Opened(batch) = opening.expect("an answer") else {
            continue;
        };
        let (generation, position) = (batch.state().generation, batch.state().position);
        assert_eq!(i64::from(generation), position, "after {taken} times");
        batch.rollback().await.expect("rolled back");
        taken += 1;
    }
    taken
}

/// Who stops a version for another one, or begins a generation, has the lane in hand: no batch may begin by what was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_lane_sees_all_rows_as_they_are_then() {
    const CHANGES: usize = 1_000;
    let database = TestDatabase::new().await;
    register(&database.store(), projector(PROJECTOR), Status::Active).await;
    let change = "BEGIN;
        SELECT FROM projectionist.checkpoints FOR UPDATE;
        UPDATE projectionist.subscriptions SET generation = generation + 1;
        UPDATE projectionist.checkpoints SET position = (SELECT generation FROM projectionist.subscriptions);
        COMMIT";
    let mut changing = database.connect().await;
    let stop = CancellationToken::new();
    let changes = async {
        for _ in 0..CHANGES {
            let changed = sqlx::raw_sql(change).execute(&mut changing).await;
            changed.expect("changed");
        }
        stop.cancel();
    };
    let changed = sqlx::raw_sql("UPDATE projectionist.checkpoints SET position = 1");
    changed.execute(database.pool()).await.expect("changed");
    let takers = [(); 3].map(|()| take_lane_until(database.store(), stop.clone()));
    let ([one, two, three], ()) = tokio::join!(
        async {
            let tasks = takers.map(tokio::spawn);
            let mut taken = [0; 3];
            for (task, taken) in tasks.into_iter().zip(&mut taken) {
                *taken = task.await.expect("all are of one moment");
            }
            taken
        },
        changes
    );
    assert!(one + two + three > 0, "nobody took the lane");
}
