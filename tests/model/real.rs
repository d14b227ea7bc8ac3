//! The same operations on a real engine, taken step by step, with real guests and PostgreSQL; and what can be seen then.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use projectionist::admin::{
    self, Change, Done, Effects, OnFailure, Removal, Replay, Rewind, RowsOf,
};
use projectionist::engine::{Host, Manner, Options, Outcome, StartAt};
use projectionist::guest::Runtime;
use projectionist::store::{Digest, FAILPOINT_VARIABLE, LaneError, SkippedEvent, Store, Unseen};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use subscription::{RetryPolicy, SwitchWhen};
use uuid::Uuid;

use super::operation::{Code, Disturbance, File, Guest, New, Operation, Who};
use super::picture::{Answer, Failing, LeftOut, Picture, Row, Standing};
use super::state::{RETRY_ATTEMPTS, RETRY_BASE_H};
use crate::support::log::{event, only};
use crate::support::modules::compiler;
use crate::support::{HostProcess, Modules, TestDatabase};

const HOUR_MS: u64 = 3_600_000;

/// The line that has two versions.
const LINE: &str = "obeys_aa";

/// What each wait takes longer than it says, so that what is due then is due.
const MARGIN_MS: u64 = 1_000;

/// Longer than a lane is held by anybody here.
const LANE_PATIENCE: Duration = Duration::from_secs(20);

/// An engine with all that it needs.
pub struct Real {
    database: TestDatabase,
    modules: Modules,
    host: Host,
    runtime: Runtime,
    waited: Duration,
}

impl Real {
    pub async fn new() -> Real {
        let (database, modules) = (TestDatabase::new().await, Modules::new());
        Real {
            host: start(&database, &modules, SwitchWhen::Ready).await,
            runtime: Runtime::new().expect("a runtime"),
            waited: Duration::ZERO,
            database,
            modules,
        }
    }

    /// Does what the operation says.
    pub async fn apply(&mut self, operation: &Operation) -> Answer {
        let store = self.database.store();
        match operation {
            Operation::Append(new) => self.append(new).await,
            Operation::Put(file, guest) => self.modules.put_bytes(&file.name(), bytes_of(*guest)),
            Operation::Break(file) => self.spoil(*file),
            Operation::Take(file) => self.take(*file),
            Operation::CatchUp { limit } => {
                let caught_up = self.host.once_at_most(*limit).await;
                caught_up.expect("caught up");
            }
            Operation::SetUp { who, skip_boot } => {
                let manner = if *skip_boot {
                    Manner::SkipBoot
                } else {
                    Manner::Usual
                };
                let ids = [who.id().to_owned()];
                let done = self.host.set_up(&ids, StartAt::Unchanged, manner).await;
                return stepped(done.expect("an answer").pop().map(|done| done.outcome));
            }
            Operation::Boot { who, limit } => {
                let done = self.host.boot(&[who.id().to_owned()], *limit).await;
                return stepped(done.expect("an answer").pop().map(|done| done.outcome));
            }
            Operation::Pause(who) => return first(admin::pause(&store, &only(who.id())).await),
            Operation::Reactivate(who) => {
                return first(admin::reactivate(&store, &only(who.id())).await);
            }
            Operation::Retry(who) => return first(admin::retry(&store, &only(who.id())).await),
            Operation::Disturbed(disturbance) => self.disturbed(disturbance).await,
            Operation::Replay(who) => return self.replay(store, *who).await,
            Operation::Refresh(who) => return first(admin::refresh(&store, &only(who.id())).await),
            Operation::Skip(who) => {
                return first(admin::skip(&store, &only(who.id()), None).await);
            }
            Operation::Rewind {
                who,
                percent,
                keep_rows,
            } => return self.rewind(store, *who, *percent, *keep_rows).await,
            Operation::Teardown { who, force } => {
                let on_failure = if *force {
                    OnFailure::Drop
                } else {
                    OnFailure::Keep
                };
                return one(self.removal(store).teardown(who.id(), on_failure).await);
            }
            Operation::Remove(who) => return one(self.removal(store).remove(who.id()).await),
            Operation::Activate(who) => {
                return match admin::activate(&store, who.id(), Unseen::PassOver).await {
                    Ok(_) => Answer::Done,
                    Err(admin::Error::UnknownIds { .. }) => Answer::Unknown,
                    Err(other) => panic!("{other}"),
                };
            }
            Operation::Wait { hours } => {
                let hours_ms = u64::from(*hours) * HOUR_MS;
                let waited = Duration::from_millis(hours_ms + MARGIN_MS);
                self.waited += waited;
                self.host.advance_clock(waited);
            }
            Operation::Restart => self.host = self.another(SwitchWhen::Ready).await,
        }
        Answer::Nothing
    }

    /// What the host and others do, and then the rest.
    async fn disturbed(&mut self, disturbance: &Disturbance) {
        self.host.scan().await.expect("looked");
        match disturbance {
            Disturbance::Dropped { after } => {
                let caught_up = going_on(*after, self.host.catch_up(None, None)).await;
                caught_up.map(|done| done.expect("caught up"));
                self.host = self.another(SwitchWhen::Ready).await;
            }
            Disturbance::Killed { failpoint } => self.kill_one_at(failpoint).await,
            Disturbance::Company { after } => {
                let mut hosts = [
                    self.another(SwitchWhen::Activated).await,
                    self.another(SwitchWhen::Activated).await,
                ];
                let [one, other] = hosts
                    .iter_mut()
                    .zip(after)
                    .map(|(host, after)| {
                        going_on(after.unwrap_or(usize::MAX), host.catch_up(None, None))
                    })
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap_or_else(|_| unreachable!("there are two"));
                let (one, other) = tokio::join!(one, other);
                for done in [one, other].into_iter().flatten() {
                    done.expect("caught up");
                }
            }
        }
        // Nobody waits here until what somebody who died had begun runs out, and until he is known to be dead.
        let run_out = "UPDATE projectionist.lines SET handover_until = clock_timestamp();
                       DELETE FROM projectionist.hosts";
        sqlx::raw_sql(run_out)
            .execute(self.database.pool())
            .await
            .expect("run out");
        let caught_up = self.host.catch_up(None, None).await;
        caught_up.expect("caught up");
    }

    async fn another(&self, switch_when: SwitchWhen) -> Host {
        let host = start(&self.database, &self.modules, switch_when).await;
        host.advance_clock(self.waited);
        host
    }

    /// A host with a directory of its own, in which there is nothing.
    async fn kill_one_at(&self, failpoint: &str) {
        let modules = Modules::new();
        let retry = format!("base={RETRY_BASE_H}h,factor=2,attempts={RETRY_ATTEMPTS},jitter=0%");
        let host = HostProcess::start_with(self.database.url(), modules.path(), |command| {
            command
                .arg("--once")
                .env(FAILPOINT_VARIABLE, failpoint)
                .env("PROJECTIONIST_RETRY", retry)
        });
        host.until_ended().await;
    }

    /// Where the guest that runs once ends, once it has begun.
    pub async fn once_until(&self) -> Option<usize> {
        let once = self.database.store().subscription(Who::Once.id()).await;
        let until = once.expect("an answer")?.boot_until?;
        Some(Places(positions(self.database.pool()).await).of(until))
    }

    async fn replay(&self, store: Store, who: Who) -> Answer {
        let replay = Replay {
            store,
            runtime: self.runtime.clone(),
            compiler: compiler(),
            lane_patience: LANE_PATIENCE,
        };
        let replayed = match replay.replay(&only(who.id()), &[]).await {
            Ok(replayed) => replayed,
            Err(admin::Error::UnknownIds { .. }) => return Answer::Unknown,
            Err(other) => panic!("{other}"),
        };
        let is = |result| replayed.iter().any(|one| one.result == result);
        match (is(Done::Refused), is(Done::Failed), is(Done::Done)) {
            (true, ..) => Answer::Refused,
            (_, true, _) => Answer::Failed,
            (.., true) => Answer::Done,
            _ => Answer::Nothing,
        }
    }

    async fn append(&self, new: &[New]) {
        let events: Vec<_> = new
            .iter()
            .map(|new| event(new.event_type(), &new.data()))
            .collect();
        self.database.append("model", &events).await;
    }

    fn spoil(&self, file: File) {
        if self.modules.file(&file.name()).exists() {
            self.modules.put_bytes(&file.name(), b"no module any more");
        }
    }

    fn take(&self, file: File) {
        if self.modules.file(&file.name()).exists() {
            self.modules.remove(&file.name());
        }
    }

    async fn rewind(&self, store: Store, who: Who, percent: usize, keep_rows: bool) -> Answer {
        let places = positions(store.pool()).await;
        let to = match places.len() * percent / 100 {
            0 => 0,
            place => places[place - 1],
        };
        let rewind = Rewind {
            store,
            runtime: self.runtime.clone(),
            compiler: compiler(),
            lane_patience: LANE_PATIENCE,
            rows: if keep_rows {
                RowsOf::Kept
            } else {
                RowsOf::Dropped
            },
            effects: Effects::Repeated,
        };
        one(rewind.rewind(who.id(), to).await)
    }

    fn removal(&self, store: Store) -> Removal {
        Removal {
            store,
            runtime: self.runtime.clone(),
            compiler: compiler(),
            lane_patience: LANE_PATIENCE,
        }
    }

    /// What can be seen.
    pub async fn picture(&self) -> Picture {
        let (store, pool) = (self.database.store(), self.database.pool());
        let places = Places(positions(pool).await);
        let mut subscriptions = BTreeMap::new();
        for row in store.subscriptions().await.expect("subscriptions") {
            let lanes = store.lanes(Some(&row.id)).await.expect("lanes");
            let standing = Standing {
                status: row.status.to_string(),
                checkpoint: places.of(lanes[0].position),
                generation: row.generation,
                module: guests()
                    .get(&row.module)
                    .map_or_else(|| "?".to_owned(), |(guest, _)| format!("{guest:?}")),
                failing: lanes[0]
                    .error
                    .as_ref()
                    .map(|error| self.failing(error, &places)),
                skipped: skipped(&store, &row.id, &places).await,
                rows: rows(pool, &row.id, &places).await,
            };
            subscriptions.insert(row.id, standing);
        }
        let line = store.line(LINE).await.expect("an answer");
        Picture {
            live: line.and_then(|line| line.live),
            read: rows(pool, LINE, &places).await,
            log: log(pool).await,
            subscriptions,
            schemas: schemas(pool).await,
        }
    }

    fn failing(&self, error: &LaneError, places: &Places) -> Failing {
        let due_in_h = error.retry_in_ms.map(|due_ms| {
            let left_ms = due_ms - self.waited.as_millis() as i64;
            (left_ms as f64 / HOUR_MS as f64).round() as i64
        });
        Failing {
            class: error.class.to_string(),
            event: error.position.map(|position| places.of(position)),
            attempts: error.attempts.unsigned_abs(),
            due_in_h,
        }
    }
}

/// Lets it go on so many times at most; `None`: that was not enough, and it is dropped in the middle.
async fn going_on<T>(times: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = times;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => match left.checked_sub(1) {
            None => Poll::Ready(None),
            Some(fewer) => {
                left = fewer;
                Poll::Pending
            }
        },
    })
    .await
}

async fn start(database: &TestDatabase, modules: &Modules, switch_when: SwitchWhen) -> Host {
    let options = Options {
        retry: RetryPolicy {
            base_ms: u64::from(RETRY_BASE_H) * HOUR_MS,
            factor: 2,
            attempts: RETRY_ATTEMPTS,
            jitter_percent: 0,
        }
        .into(),
        switch_when,
        ..Options::new(modules.path(), compiler())
    };
    let host = Host::start(database.store(), options).await;
    host.expect("a host")
}

type Guests = HashMap<Digest, (Guest, Vec<u8>)>;

/// Every guest that there can be, by the digest of its bytes.
fn guests() -> &'static Guests {
    static GUESTS: OnceLock<Guests> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let mut guests = HashMap::new();
        for who in Who::ALL {
            for code in Code::ALL {
                for other_filter in [false, true] {
                    let guest = Guest {
                        who,
                        code,
                        other_filter,
                    };
                    let bytes = guest.script().bytes();
                    guests.insert(Sha256::digest(&bytes).into(), (guest, bytes));
                }
            }
        }
        guests
    })
}

fn bytes_of(guest: Guest) -> &'static [u8] {
    let found = guests().values().find(|(known, _)| *known == guest);
    &found.expect("every guest is there").1
}

fn stepped(outcome: Option<Outcome>) -> Answer {
    match outcome {
        None => Answer::Unknown,
        Some(Outcome::Done) => Answer::Done,
        Some(Outcome::Limited) => Answer::Limited,
        Some(Outcome::Illegal(_)) => Answer::Refused,
        Some(Outcome::Failed(_)) => Answer::Failed,
    }
}

fn first(changes: Result<Vec<Change>, admin::Error>) -> Answer {
    one(changes.map(|mut changes| changes.remove(0)))
}

fn one(change: Result<Change, admin::Error>) -> Answer {
    match change {
        Ok(change) => match change.result {
            Done::Done => Answer::Done,
            Done::Left | Done::Refused => Answer::Refused,
            Done::Failed => Answer::Failed,
        },
        Err(admin::Error::UnknownIds { .. }) => Answer::Unknown,
        Err(other) => panic!("{other}"),
    }
}

/// Positions in ascending order, to count places by.
struct Places(Vec<i64>);

impl Places {
    /// Events up to a position.
    fn of(&self, position: i64) -> usize {
        self.0.partition_point(|known| *known <= position)
    }
}

async fn positions(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM projectionist.events ORDER BY position")
        .fetch_all(pool)
        .await
        .expect("positions")
}

async fn log(pool: &PgPool) -> Vec<(String, Option<usize>)> {
    let events: Vec<(Uuid, String, Option<Uuid>)> =
        sqlx::query_as("SELECT id, type, causation_id FROM projectionist.events ORDER BY position")
            .fetch_all(pool)
            .await
            .expect("events");
    let places: HashMap<Uuid, usize> = events.iter().map(|(id, ..)| *id).zip(1..).collect();
    let cause = |id: Option<Uuid>| id.and_then(|id| places.get(&id).copied());
    events
        .into_iter()
        .map(|(_, event_type, causation)| (event_type, cause(causation)))
        .collect()
}

async fn skipped(store: &Store, id: &str, places: &Places) -> Vec<(i32, usize, LeftOut)> {
    let ids = [id.to_owned()];
    let skipped = store.skipped_events(&ids, None, i64::MAX).await;
    let skipped = skipped.expect("skipped events").into_iter();
    let by = |name: &str| match name {
        "guest" => "guest",
        "operator" => "operator",
        other => panic!("skipped by {other}"),
    };
    let out = |row: &SkippedEvent| LeftOut {
        by: by(&row.skipped_by),
        replayed: row.replayed_at.is_some(),
    };
    skipped
        .map(|row| (row.generation, places.of(row.position), out(&row)))
        .collect()
}

async fn rows(pool: &PgPool, schema: &str, places: &Places) -> Option<Vec<Row>> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1 || '.seen') IS NOT NULL")
        .bind(schema)
        .fetch_one(pool)
        .await
        .expect("an answer");
    if !there {
        return None;
    }
    let select = format!("SELECT position, times, code FROM {schema}.seen ORDER BY position");
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(AssertSqlSafe(select))
        .fetch_all(pool)
        .await
        .expect("rows");
    let row = |(position, times, code)| Row {
        event: places.of(position),
        times,
        code,
    };
    Some(rows.into_iter().map(row).collect())
}

async fn schemas(pool: &PgPool) -> Vec<String> {
    let ids: Vec<&str> = Who::ALL.into_iter().map(Who::id).collect();
    sqlx::query_scalar(
        r#"SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1) ORDER BY nspname COLLATE "C""#,
    )
    .bind(ids)
    .fetch_all(pool)
    .await
    .expect("schemas")
}
