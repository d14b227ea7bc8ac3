//! Subscriptions as rows alone, whose module nobody runs: for what only reads and writes rows.

use std::collections::VecDeque;

use projectionist::store::{
    self, Batch, Durability, Grant, LaneKey, NewLaneError, NewSubscription, Opening, Store,
};
use sha2::{Digest as _, Sha256};
use subscription::{Descriptor, ErrorClass, Input, Kind, Next, RunMode, Status, SubscriberId};

use super::{Modules, TestDatabase, stepped};

/// A projector's descriptor with nothing but its id.
pub fn projector(id: &str) -> Descriptor {
    let id = SubscriberId::parse(id, Kind::Projector).expect("an id");
    Descriptor::new(id, Kind::Projector)
}

/// Registers a subscription and brings it into a status.
pub async fn register(store: &Store, descriptor: Descriptor, status: Status) {
    let bytes = b"no module at all";
    let (module, id) = (Sha256::digest(bytes).into(), descriptor.id.to_string());
    let kept = store.keep_module(&module, bytes, &descriptor).await;
    kept.expect("kept the module");
    let new = NewSubscription {
        descriptor,
        settings: serde_json::json!({}),
        module,
        start_position: 0,
    };
    assert!(store.register(&new).await.expect("registered"));
    bring(store, &id, status).await;
}

/// Brings a subscription into a status, by the shortest way that the rules allow: the database refuses any other.
pub async fn bring(store: &Store, id: &str, to: Status) {
    let row = store.subscription(id).await.expect("an answer");
    let row = row.expect("it is there");
    let mut from = row.status;
    for next in way(row.status, to, row.run_mode) {
        let changed = store.change_status(id, from, next).await;
        assert!(changed.expect("changed"), "{id}: {from} to {next}");
        from = next;
    }
}

/// The statuses on the way, without the first.
pub fn way(from: Status, to: Status, mode: RunMode) -> Vec<Status> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = vec![from];
    while let Some(way) = ways.pop_front() {
        let last = *way.last().expect("a way begins somewhere");
        if last == to {
            return way[1..].to_vec();
        }
        for next in Status::all() {
            if last.may_become(next, mode) && !seen.contains(&next) {
                seen.push(next);
                ways.push_back([&way[..], &[next]].concat());
            }
        }
    }
    panic!("no way leads from {from} to {to} in the run mode {mode}")
}

/// Lets a subscription fail at an event.
pub async fn fail(store: &Store, id: &str, position: i64) {
    let row = store.subscription(id).await.expect("an answer");
    let row = row.expect("it is there");
    let Ok(Next::Status(next)) = row.status.on(Input::Failed, row.run_mode) else {
        panic!("a subscription that is {} cannot fail", row.status)
    };
    let error = NewLaneError {
        class: ErrorClass::Trap,
        message: "the guest panicked".to_owned(),
        position: Some(position),
        event_type: Some("Poison".to_owned()),
        module: row.module,
        backtrace: None,
        output: None,
        attempts: 1,
        retry_context: None,
        retry_after_ms: None,
    };
    let key = LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    };
    let recorded = store.record_failure(&key, row.status, next, &error).await;
    assert!(recorded.expect("recorded"));
}

/// Moves a checkpoint, as a batch would.
pub async fn move_to(store: &Store, id: &str, position: i64) {
    let moved =
        sqlx::query("UPDATE projectionist.checkpoints SET position = $2 WHERE subscription = $1")
            .bind(id)
            .bind(position)
            .execute(store.pool())
            .await;
    assert_eq!(moved.expect("moved").rows_affected(), 1);
}

/// A batch of an example or a test guest that has been set up, which is not asked.
pub async fn opened_of(database: &TestDatabase, guest: &str) -> Box<Batch> {
    let modules = Modules::with(&[guest]);
    let mut host = stepped(database, &modules).await;
    host.once().await.expect("set up");
    opened(&database.store(), &format!("{guest}_1")).await
}

/// A batch of a lane that nobody else has.
pub async fn opened(store: &Store, id: &str) -> Box<Batch> {
    opened_for(store, id, Grant::Handle).await
}

/// The same for calls of one kind.
pub async fn opened_for(store: &Store, id: &str, grant: Grant) -> Box<Batch> {
    let key = LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    };
    let opening = Batch::open(store, &key, grant, Durability::Replayable);
    match opening.await.expect("a batch") {
        Opening::Opened(batch) => batch,
        Opening::Taken => panic!("somebody else has the lane of {id}"),
    }
}

/// A batch that begins and is given up.
pub async fn touch(store: &Store, id: &str, grant: Grant) -> Result<bool, store::Error> {
    let key = LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    };
    match Batch::open(store, &key, grant, Durability::Replayable).await? {
        Opening::Opened(batch) => batch.rollback().await.map(|()| true),
        Opening::Taken => Ok(false),
    }
}
