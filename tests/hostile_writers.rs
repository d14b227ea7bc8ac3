//! No event is lost, doubled or out of order, whatever writers do. A reader that takes `position > last` loses some in the
//! same run, so the run is known to bite.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use projectionist::store::Horizon;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{PATIENCE, TestDatabase, Writer, eventually};

const WRITERS: u64 = 8;

/// Transactions of each writer.
const TRANSACTIONS: u64 = 50;

/// Which positions were committed, and how many transactions have ended.
#[derive(Default)]
struct Record {
    committed: Mutex<BTreeSet<i64>>,
    ended: watch::Sender<u64>,
}

impl Record {
    fn commit(&self, positions: impl IntoIterator<Item = i64>) {
        self.committed
            .lock()
            .expect("not poisoned")
            .extend(positions);
    }

    fn committed(&self) -> BTreeSet<i64> {
        self.committed.lock().expect("not poisoned").clone()
    }

    /// Waits until so many of the writers' transactions have ended.
    async fn reached(&self, transactions: u64) {
        self.ended
            .subscribe()
            .wait_for(|ended| *ended >= transactions)
            .await
            .expect("writers are there");
    }
}

/// Chance that can be repeated: a linear congruential generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn shuffle(&mut self, items: &mut [i64]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).expect("small");
            items.swap(last, other);
        }
    }
}

/// One transaction: numbers in advance, inserted in any order, part of it undone, late, one in five rolled back.
async fn write(database: &TestDatabase, record: &Record, chance: &mut Chance) {
    let mut writer = Writer::begin(database).await;
    if chance.percent(20) {
        writer
            .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .await;
    }
    if chance.percent(20) {
        let position = writer.append().await;
        writer.commit().await;
        record.commit([position]);
        return;
    }
    let count = i32::try_from(1 + chance.below(5)).expect("small");
    let mut positions = writer.take_many(count).await;
    chance.shuffle(&mut positions);
    let mut kept = Vec::new();
    for position in positions {
        let undone = chance.percent(20);
        writer.execute("SAVEPOINT here").await;
        writer.insert(position).await;
        if undone {
            writer.execute("ROLLBACK TO here").await;
        } else {
            kept.push(position);
        }
    }
    if chance.percent(50) {
        // Late on purpose: others take higher numbers and commit them meanwhile.
        tokio::time::sleep(Duration::from_millis(chance.below(20))).await;
    }
    if chance.percent(20) {
        writer.roll_back().await;
    } else {
        writer.commit().await;
        record.commit(kept);
    }
}

/// Reads what lies in `(last, up_to]`, as projections do.
async fn read(pool: &PgPool, last: i64, up_to: i64) -> Vec<i64> {
    let read = "SELECT position FROM projectionist.events WHERE position > $1 AND position <= $2 ORDER BY position";
    sqlx::query_scalar(read)
        .bind(last)
        .bind(up_to)
        .fetch_all(pool)
        .await
        .expect("events")
}

/// Everything up to the horizon, again and again.
async fn follow(database: Arc<TestDatabase>, seen: watch::Sender<Vec<i64>>) {
    let mut horizon = Horizon::new(database.store());
    let mut last = 0;
    loop {
        let look = horizon.look().await.expect("a look");
        if let Some(now) = look.horizon.filter(|now| *now > last) {
            let events = read(database.pool(), last, now).await;
            seen.send_modify(|seen| seen.extend(events));
            last = now;
        }
    }
}

/// Everything that is there, again and again: what many do.
async fn follow_naively(database: Arc<TestDatabase>, seen: watch::Sender<Vec<i64>>) {
    loop {
        let last = seen.borrow().last().copied().unwrap_or(0);
        let events = read(database.pool(), last, i64::MAX).await;
        seen.send_if_modified(|seen| {
            seen.extend(&events);
            !events.is_empty()
        });
    }
}

/// A prepared transaction, decided long after, and a writer that stands still until somebody ends it.
async fn stand_in_the_way(
    database: &TestDatabase,
    record: &Record,
    seen: &watch::Sender<Vec<i64>>,
) {
    let highest_seen = || seen.borrow().last().copied().unwrap_or(0);
    record.reached(WRITERS * TRANSACTIONS / 10).await;
    let mut writer = Writer::begin(database).await;
    writer.execute("SET LOCAL projectionist.bell = 'off'").await;
    let position = writer.take().await;
    writer.insert(position).await;
    let gid = format!("hostile-{}", uuid::Uuid::new_v4());
    writer.prepare(&gid).await;
    record.reached(WRITERS * TRANSACTIONS * 4 / 10).await;
    assert!(
        highest_seen() < position,
        "the horizon stays below a prepared transaction"
    );
    Writer::commit_prepared(database, &gid).await;
    record.commit([position]);

    record.reached(WRITERS * TRANSACTIONS * 5 / 10).await;
    let (mut idle, position) = Writer::open(database).await;
    record.reached(WRITERS * TRANSACTIONS * 8 / 10).await;
    assert!(
        highest_seen() < position,
        "the horizon stays below an idle writer"
    );
    let end = "SELECT pg_terminate_backend($1)";
    sqlx::query(end)
        .bind(idle.pid().await)
        .execute(database.pool())
        .await
        .expect("ended");
}

/// The one interleaving that every naive reader falls for, step by step.
async fn overtake(database: &TestDatabase, record: &Record, naive: &watch::Sender<Vec<i64>>) {
    let (slow, early) = Writer::open(database).await;
    let late = Writer::write_one(database).await;
    naive
        .subscribe()
        .wait_for(|seen| seen.last() >= Some(&late))
        .await
        .expect("the naive reader reads");
    slow.commit().await;
    record.commit([early, late]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_committed_event_is_seen_once_and_in_order() {
    let database = Arc::new(TestDatabase::new().await);
    let record = Arc::new(Record::default());
    let (seen, naive) = (
        watch::Sender::new(Vec::new()),
        watch::Sender::new(Vec::new()),
    );
    let mut readers = JoinSet::new();
    readers.spawn(follow(database.clone(), seen.clone()));
    readers.spawn(follow_naively(database.clone(), naive.clone()));

    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let (database, record) = (database.clone(), record.clone());
        writers.spawn(async move {
            let mut chance = Chance(number);
            for _ in 0..TRANSACTIONS {
                write(&database, &record, &mut chance).await;
                record.ended.send_modify(|ended| *ended += 1);
            }
        });
    }
    stand_in_the_way(&database, &record, &seen).await;
    writers.join_all().await;
    overtake(&database, &record, &naive).await;

    let committed = record.committed();
    let expected: Vec<i64> = committed.iter().copied().collect();
    assert_eq!(
        read(database.pool(), 0, i64::MAX).await,
        expected,
        "the record of the writers is right"
    );
    eventually(PATIENCE, async || {
        match seen.borrow().last() == expected.last() {
            true => Ok(()),
            false => Err(format!(
                "seen up to {:?} of {:?}",
                seen.borrow().last(),
                expected.last()
            )),
        }
    })
    .await;
    readers.shutdown().await;
    assert_eq!(*seen.borrow(), expected, "once each, in order");
    let lost = committed
        .difference(&naive.borrow().iter().copied().collect())
        .count();
    println!("{} events; the naive reader lost {lost}", committed.len());
    assert!(lost > 0, "the naive reader loses events");
}
