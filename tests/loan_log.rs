//! The real log: 262,200 events of 13,087 loan applications, through kills, two hosts and new versions, against what SQL
//! computes from the log alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use projectionist::admin::import::{self, Input};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::OnceCell;

use crate::support::process::{HostProcess, modules};
use crate::support::{TestDatabase, repository};

/// The events of the file.
const EVENTS: i64 = 262_200;

/// A whole log on a busy machine.
const LONG: Duration = Duration::from_secs(300);

const GUESTS: [&str; 3] = ["applications", "activities", "followups"];

/// The file, or `None` where it is absent, which is said and fails in CI.
fn loan_log() -> Option<PathBuf> {
    let named = std::env::var_os("PROJECTIONIST_LOAN_LOG").map(PathBuf::from);
    let path =
        named.unwrap_or_else(|| repository().join("../shared/data/loan_applications.jsonl.gz"));
    if path.is_file() {
        return Some(path);
    }
    let message = format!(
        "NOT RUN: the real log is not at {}; PROJECTIONIST_LOAN_LOG names it",
        path.display()
    );
    assert!(std::env::var_os("CI").is_none(), "{message}");
    println!("{message}");
    None
}

/// A database with the log in it, imported once for all tests of this file.
async fn imported() -> Option<TestDatabase> {
    static IMPORTED: OnceCell<TestDatabase> = OnceCell::const_new();
    let path = loan_log()?;
    let template = IMPORTED.get_or_init(|| import_log(path)).await;
    Some(TestDatabase::copy_of(template).await)
}

async fn import_log(path: PathBuf) -> TestDatabase {
    let database = TestDatabase::new().await;
    let written = import::import(&database.store(), &Input::from(path.as_path()), |_| {})
        .await
        .expect("imported");
    assert_eq!(i64::try_from(written.imported).expect("a number"), EVENTS);
    database.store().pool().close().await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_what_sql_computes_from_the_log() {
    let Some(database) = imported().await else {
        return;
    };
    let directory = modules(&GUESTS);
    let host = HostProcess::start(database.url(), directory.path());
    finished(
        &database,
        &["applications_1", "activities_1", "followups"],
        &[&host],
    )
    .await;
    assert_eq!(host.terminate(), Some(0));
    check(&database, "applications_1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_host_is_killed_in_open_batches() {
    let Some(database) = imported().await else {
        return;
    };
    let directory = modules(&GUESTS);
    let mut rolled_back = 0;
    for kill in 1..=3 {
        let host = HostProcess::start(database.url(), directory.path());
        // Each time a little further: the kills fall into different parts of the log.
        progressed(&database, EVENTS * kill / 8, &host).await;
        rolled_back += kill_in_an_open_batch(&database, host).await;
    }
    assert!(
        rolled_back >= 3,
        "each kill fell into an open batch, {rolled_back} were rolled back"
    );
    let host = HostProcess::start(database.url(), directory.path());
    finished(
        &database,
        &["applications_1", "activities_1", "followups"],
        &[&host],
    )
    .await;
    assert_eq!(host.terminate(), Some(0));
    check(&database, "applications_1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_the_work_and_one_may_be_killed() {
    let Some(database) = imported().await else {
        return;
    };
    let directory = modules(&GUESTS);
    let (first, second) = (
        HostProcess::start(database.url(), directory.path()),
        HostProcess::start(database.url(), directory.path()),
    );
    let shares = shares_until(&database, EVENTS / 2, &[&first, &second]).await;
    let total: i64 = shares.values().sum();
    let least = shares.values().min().copied().unwrap_or(0);
    assert_eq!(shares.len(), 2, "both hosts committed: {shares:?}");
    assert!(least * 5 >= total, "each host did a fair share: {shares:?}");
    first.kill();
    finished(
        &database,
        &["applications_1", "activities_1", "followups"],
        &[&second],
    )
    .await;
    assert_eq!(second.terminate(), Some(0));
    check(&database, "applications_1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_a_new_id_builds_its_own_read_model() {
    let Some(database) = imported().await else {
        return;
    };
    let directory = modules(&GUESTS);
    let host = HostProcess::start(database.url(), directory.path());
    progressed(&database, EVENTS / 4, &host).await;
    replace_by_second_version(directory.path());
    finished(
        &database,
        &["applications_2", "activities_1", "followups"],
        &[&host],
    )
    .await;
    let old: String = sqlx::query_scalar(
        "SELECT status FROM projectionist.subscriptions WHERE id = 'applications_1'",
    )
    .fetch_one(database.pool())
    .await
    .expect("the old version");
    assert_eq!(old, "Detached");
    assert_eq!(host.terminate(), Some(0));
    check(&database, "applications_2").await;
}

/// The same guest under the next id: both ids have the same length, so the bytes stay a component.
fn replace_by_second_version(directory: &Path) {
    let path = directory.join("applications.wasm");
    let mut bytes = fs::read(&path).expect("the module");
    let (old, new) = (b"applications_1", b"applications_2");
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| window == old)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the id is in the module");
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    let temporary = directory.join("applications.new");
    fs::write(&temporary, bytes).expect("written");
    fs::rename(temporary, path).expect("renamed");
}

/// Compares every read model, and what the processor appended, with an independent computation.
async fn check(database: &TestDatabase, applications: &str) {
    let columns = "id, state, amount_requested, offers, first_event_at, last_event_at";
    let expected = include_str!("sql/expected_applications.sql");
    same(
        database,
        &format!("SELECT {columns} FROM {applications}.application"),
        expected,
        13_087,
    )
    .await;
    let activities = "SELECT activity, day, events FROM activities_1.activity_day";
    same(
        database,
        activities,
        include_str!("sql/expected_activities.sql"),
        3_000,
    )
    .await;
    let (found, expected) = (
        include_str!("sql/found_followups.sql"),
        include_str!("sql/expected_followups.sql"),
    );
    same(database, found, expected, 7_030).await;
}

/// Two queries give the same rows, as often, and at least so many.
async fn same(database: &TestDatabase, found: &str, expected: &str, at_least: i64) {
    let sql = format!(
        "WITH found AS ({found}), expected AS ({expected})
         SELECT (SELECT count(*) FROM found) AS found, (SELECT count(*) FROM expected) AS expected,
                (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) a) AS wrong,
                (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) b) AS missing"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(database.pool())
        .await
        .expect("compared");
    let count = |column: &str| row.get::<i64, _>(column);
    let summary = format!(
        "found {}, expected {}, wrong {}, missing {}",
        count("found"),
        count("expected"),
        count("wrong"),
        count("missing")
    );
    assert_eq!(
        (count("wrong"), count("missing")),
        (0, 0),
        "{found}: {summary}"
    );
    assert!(count("found") >= at_least, "{found}: {summary}");
}

/// Positions of all subscriptions, with the host that moved each last.
async fn checkpoints(database: &TestDatabase) -> HashMap<String, (i64, Option<uuid::Uuid>)> {
    sqlx::query("SELECT subscription, position, moved_by FROM projectionist.checkpoints")
        .fetch_all(database.pool())
        .await
        .expect("checkpoints")
        .iter()
        .map(|row| {
            (
                row.get("subscription"),
                (row.get("position"), row.get("moved_by")),
            )
        })
        .collect()
}

/// Waits until these subscriptions are live and at the end of the log.
async fn finished(database: &TestDatabase, ids: &[&str], hosts: &[&HostProcess]) {
    let sql = "SELECT count(*) FROM projectionist.subscriptions s JOIN projectionist.checkpoints c ON c.subscription = s.id
               WHERE s.id = ANY ($1) AND s.status = 'Active' AND c.position >= (SELECT max(position) FROM projectionist.events)";
    let began = Instant::now();
    loop {
        let done: i64 = sqlx::query_scalar(sql)
            .bind(ids)
            .fetch_one(database.pool())
            .await
            .expect("counted");
        if usize::try_from(done).expect("a number") == ids.len() {
            return;
        }
        if began.elapsed() > LONG {
            let output: Vec<String> = hosts.iter().map(|host| host.output()).collect();
            panic!(
                "not finished: {:?}\n{}",
                checkpoints(database).await,
                output.join("\n---\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the slowest projector has come so far.
async fn progressed(database: &TestDatabase, position: i64, host: &HostProcess) {
    let began = Instant::now();
    loop {
        let now = checkpoints(database).await;
        let slowest = ["applications_1", "activities_1"]
            .iter()
            .map(|id| now.get(*id).map_or(0, |(position, _)| *position))
            .min();
        if slowest >= Some(position) {
            return;
        }
        assert!(
            began.elapsed() < LONG,
            "no progress: {now:?}\n{}",
            host.output()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Freezes the host, again and again, until it is found with a batch open; kills it there. How many open transactions
/// were rolled back.
async fn kill_in_an_open_batch(database: &TestDatabase, host: HostProcess) -> usize {
    let open_batches = "SELECT backend_xid::text FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'projectionist' AND backend_xid IS NOT NULL
                          AND pid <> pg_backend_pid()";
    let began = Instant::now();
    loop {
        host.freeze();
        // The server may still be busy with the last statement; what stays open now stays open.
        let open: HashSet<String> = sqlx::query_scalar(open_batches)
            .fetch_all(database.pool())
            .await
            .expect("open")
            .into_iter()
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let still: Vec<String> = sqlx::query_scalar(open_batches)
            .fetch_all(database.pool())
            .await
            .expect("open");
        let caught: Vec<String> = still.into_iter().filter(|xid| open.contains(xid)).collect();
        if !caught.is_empty() {
            host.kill();
            return rolled_back(database, &caught).await;
        }
        assert!(
            began.elapsed() < LONG,
            "no batch was ever open: {}",
            host.output()
        );
        host.thaw();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn rolled_back(database: &TestDatabase, transactions: &[String]) -> usize {
    let mut count = 0;
    for transaction in transactions {
        let began = Instant::now();
        loop {
            let status: Option<String> =
                sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)")
                    .bind(transaction)
                    .fetch_one(database.pool())
                    .await
                    .expect("a status");
            match status.as_deref() {
                Some("aborted") => {
                    count += 1;
                    break;
                }
                Some("in progress") => {}
                other => panic!("the transaction {transaction} of a killed host is {other:?}"),
            }
            assert!(
                began.elapsed() < LONG,
                "the transaction {transaction} never ended"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    count
}

/// Watches who moves the checkpoints of the projectors until both have come so far.
async fn shares_until(
    database: &TestDatabase,
    position: i64,
    hosts: &[&HostProcess],
) -> HashMap<uuid::Uuid, i64> {
    let mut shares = HashMap::new();
    let mut before: HashMap<String, i64> = HashMap::new();
    let began = Instant::now();
    loop {
        let now = checkpoints(database).await;
        for (subscription, (at, by)) in &now {
            let moved = at - before.insert(subscription.clone(), *at).unwrap_or(0);
            if let (Some(by), true) = (by, moved > 0) {
                *shares.entry(*by).or_default() += moved;
            }
        }
        if ["applications_1", "activities_1"]
            .iter()
            .all(|id| now.get(*id).is_some_and(|(at, _)| *at >= position))
        {
            return shares;
        }
        let output: Vec<String> = hosts.iter().map(|host| host.output()).collect();
        assert!(
            began.elapsed() < LONG,
            "no progress: {now:?}\n{}",
            output.join("\n---\n")
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
