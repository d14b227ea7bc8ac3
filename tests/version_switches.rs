//! Ten switches and two rollbacks under constant appends, with readers who look all the time: none sees an error, an empty table, two
//! versions at once, or less than somebody has seen before.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use projectionist::admin;
use projectionist::store::Unseen;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::versions::LEDGER;
use crate::support::{HostProcess, Modules, PATIENCE, TestDatabase, eventually};

/// Accounts that the appender moves money on; all of them are there before readers begin.
const ACCOUNTS: i64 = 7;

/// Between two reads of one reader, and within a long transaction.
const PAUSE: Duration = Duration::from_millis(3);
const LONG_PAUSE: Duration = Duration::from_millis(120);

/// Longest time in which nobody sees anything new while events are appended. Long, because a busy machine is no failure.
const STALE_AFTER: Duration = Duration::from_secs(20);

const ONE_VIEW: &str = "SELECT count(*), max(last_position), sum(events)::bigint, min(made_by), max(made_by) FROM ledger.account";

/// Both views, as a statement that gives no row unless they agree.
const JOINED: &str = "SELECT a.accounts, a.last_position, a.events, least(a.least, t.made_by), greatest(a.greatest, t.made_by)
    FROM (SELECT count(*) AS accounts, max(last_position) AS last_position, sum(events)::bigint AS events,
                 sum(balance)::bigint AS balance, min(made_by) AS least, max(made_by) AS greatest FROM ledger.account) a
    JOIN ledger.total t ON (t.events, t.balance, t.last_position) = (a.events, a.balance, a.last_position)";

/// What all readers together have seen so far.
struct Seen {
    position: AtomicI64,
    reads: AtomicUsize,
    began: Instant,
    /// Milliseconds after the beginning.
    newest_ms: AtomicI64,
    longest_ms: AtomicI64,
}

impl Seen {
    fn new() -> Arc<Seen> {
        Arc::new(Seen {
            position: AtomicI64::new(0),
            reads: AtomicUsize::new(0),
            began: Instant::now(),
            newest_ms: AtomicI64::new(0),
            longest_ms: AtomicI64::new(0),
        })
    }

    fn floor(&self) -> i64 {
        self.position.load(Ordering::SeqCst)
    }

    fn saw(&self, position: i64) {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.position.fetch_max(position, Ordering::SeqCst) < position {
            let now_ms = i64::try_from(self.began.elapsed().as_millis()).expect("short");
            let before_ms = self.newest_ms.swap(now_ms, Ordering::SeqCst);
            self.longest_ms
                .fetch_max(now_ms - before_ms, Ordering::SeqCst);
        }
    }
}

#[derive(Clone, Debug)]
struct Read {
    position: i64,
    version: String,
}

/// One look. `floor`: what somebody had seen before the snapshot of this look was taken.
async fn look(
    connection: &mut PgConnection,
    statement: &'static str,
    prepared: bool,
    floor: i64,
) -> Result<Read, String> {
    let query = sqlx::query_as::<
        _,
        (
            i64,
            Option<i64>,
            Option<i64>,
            Option<String>,
            Option<String>,
        ),
    >(statement);
    let row = query
        .persistent(prepared)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| format!("a reader had an error: {error}"))?;
    let Some((accounts, Some(position), Some(_), Some(least), Some(greatest))) = row else {
        return Err(format!("a reader saw an empty table: {row:?}"));
    };
    if accounts != ACCOUNTS {
        return Err(format!("{accounts} accounts were seen"));
    }
    if least != greatest {
        return Err(format!("{least} and {greatest} were seen in one statement"));
    }
    if position < floor {
        return Err(format!(
            "{greatest} was seen at {position}, after {floor} had been seen"
        ));
    }
    Ok(Read {
        position,
        version: greatest,
    })
}

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Autocommit {
        prepared: bool,
    },
    /// Several looks in one transaction.
    Long,
    /// The snapshot is taken long before the look.
    Repeatable,
}

async fn read(
    mut connection: PgConnection,
    statement: &'static str,
    manner: Manner,
    seen: Arc<Seen>,
    stop: CancellationToken,
) -> Result<(), String> {
    let failed = |error: sqlx::Error| format!("a reader had an error: {error}");
    while !stop.is_cancelled() {
        match manner {
            Manner::Autocommit { prepared } => {
                let read = look(&mut connection, statement, prepared, seen.floor()).await?;
                seen.saw(read.position);
            }
            Manner::Long => {
                connection.execute("BEGIN").await.map_err(failed)?;
                let mut version: Option<String> = None;
                for _ in 0..3 {
                    let read = look(&mut connection, statement, true, seen.floor()).await?;
                    seen.saw(read.position);
                    if version.as_ref().is_some_and(|first| *first != read.version) {
                        return Err(format!(
                            "{version:?} and {} in one transaction",
                            read.version
                        ));
                    }
                    version = Some(read.version);
                    tokio::time::sleep(LONG_PAUSE).await;
                }
                connection.execute("COMMIT").await.map_err(failed)?;
                tokio::time::sleep(LONG_PAUSE).await;
            }
            Manner::Repeatable => {
                connection
                    .execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    .await
                    .map_err(failed)?;
                let floor = seen.floor();
                connection
                    .execute("SELECT count(*) FROM projectionist.lines")
                    .await
                    .map_err(failed)?;
                tokio::time::sleep(LONG_PAUSE).await;
                let first = look(&mut connection, statement, true, floor).await?;
                let second = look(&mut connection, statement, false, floor).await?;
                if (first.position, &first.version) != (second.position, &second.version) {
                    return Err(format!("{first:?} and {second:?} in one snapshot"));
                }
                connection.execute("COMMIT").await.map_err(failed)?;
                seen.saw(first.position);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    connection.close().await.map_err(failed)
}

async fn start_readers(
    database: &TestDatabase,
    seen: &Arc<Seen>,
    stop: &CancellationToken,
) -> JoinSet<Result<(), String>> {
    let mut readers = JoinSet::new();
    for statement in [ONE_VIEW, JOINED] {
        for manner in [
            Manner::Autocommit { prepared: false },
            Manner::Autocommit { prepared: true },
            Manner::Long,
            Manner::Repeatable,
        ] {
            let connection = database.connect().await;
            readers.spawn(read(
                connection,
                statement,
                manner,
                Arc::clone(seen),
                stop.clone(),
            ));
        }
    }
    readers
}

/// No reader may have ended: each that did says why.
fn assert_all_read_on(readers: &mut JoinSet<Result<(), String>>, when: &str) {
    if let Some(ended) = readers.try_join_next() {
        panic!("{when}: {:?}", ended.expect("readers do not panic"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_no_seam_through_ten_switches_and_two_rollbacks() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    database.append_moves(2_000).await;
    modules.put_ledger("ledger.wasm", 101, "plain");
    let _host = HostProcess::start(database.url(), modules.path());
    database.until_live(LEDGER, "ledger_101").await;
    database.until_ledger_is_right("ledger_101").await;
    let (seen, stop) = (Seen::new(), CancellationToken::new());
    let mut readers = start_readers(&database, &seen, &stop).await;
    let appender = database.append_moves_continuously();

    let shapes = ["wider", "typed", "plain", "table", "plain"];
    let store = database.store();
    for (version, shape) in (102..=111).zip(shapes.into_iter().cycle()) {
        let id = format!("ledger_{version}");
        modules.put_ledger("ledger.wasm", version, shape);
        database.until_live(LEDGER, &id).await;
        assert_all_read_on(&mut readers, &format!("the switch to {id}"));
        until_more_is_seen(&seen).await;
        if [104, 108].contains(&version) {
            let back = format!("ledger_{}", version - 1);
            let wanted = admin::activate(&store, &back, Unseen::PassOver).await;
            assert_eq!(wanted.expect("wanted").outcome, admin::Activated::Wanted);
            database.until_live(LEDGER, &back).await;
            assert_all_read_on(&mut readers, &format!("the way back to {back}"));
            until_more_is_seen(&seen).await;
        }
    }

    appender.stop().await;
    stop.cancel();
    while let Some(ended) = readers.join_next().await {
        assert_eq!(ended.expect("readers do not panic"), Ok(()));
    }
    for version in 101..=110 {
        database.assert_ledger(&format!("ledger_{version}")).await;
    }
    database.until_ledger_is_right("ledger_111").await;
    let reads = seen.reads.load(Ordering::SeqCst);
    let longest = Duration::from_millis(seen.longest_ms.load(Ordering::SeqCst).unsigned_abs());
    println!("{reads} reads; nothing new was seen for {longest:?} at most");
    assert!(
        longest < STALE_AFTER,
        "nothing new was seen for {longest:?}"
    );
    assert!(reads > 100, "{reads} reads");
}

async fn until_more_is_seen(seen: &Seen) {
    let before = seen.floor();
    eventually(PATIENCE, async || match seen.floor() {
        now if now > before => Ok(()),
        now => Err(format!("readers are at {now}")),
    })
    .await;
}
