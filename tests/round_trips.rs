//! What a batch costs in questions to the server and to the host. Counted, not timed: the same on every machine.

use projectionist::store::{Horizon, NewEvent, Store};
use serde_json::json;

use crate::support::log::event;
use crate::support::round_trips::RoundTrips;
use crate::support::versions::replace;
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually};

/// One statement takes the lane, writes the rows and moves the checkpoint.
const OF_A_LIVE_BATCH: u64 = 1;

/// Taking the lane, writing the rows, and the end: checkpoint and commit.
const OF_A_BATCH_THAT_TAKES_THE_LANE_FIRST: u64 = 3;

/// Lanes of guests that wait for an event that never happens.
const WAITING: [&str; 3] = ["waits_aa_1", "waits_ab_1", "waits_ac_1"];

fn opened(account: &str) -> NewEvent {
    event(
        "AccountOpened",
        &json!({ "account": account, "owner": "Ada Lovelace" }),
    )
}

fn deposited(account: &str, amount: i64) -> NewEvent {
    event(
        "MoneyDeposited",
        &json!({ "account": account, "amount": amount }),
    )
}

async fn append(database: &TestDatabase, account: &str, event: NewEvent) -> i64 {
    let appended = database
        .append(&format!("account-{account}"), &[event])
        .await;
    appended[0].position
}

async fn until_checkpoint(database: &TestDatabase, id: &str, position: i64) {
    eventually(PATIENCE, async || {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT c.position FROM projectionist.checkpoints c
             JOIN projectionist.subscriptions s ON s.id = c.subscription
             WHERE s.id = $1 AND s.status = 'Active'",
        )
        .bind(id)
        .fetch_optional(database.pool())
        .await
        .expect("a checkpoint");
        match found {
            Some(found) if found >= position => Ok(()),
            found => Err(format!("{id} is at {found:?}, not at {position}")),
        }
    })
    .await;
}

async fn balance(database: &TestDatabase, account: &str) -> i64 {
    sqlx::query_scalar("SELECT balance FROM accounts_1.account WHERE id = $1")
        .bind(account)
        .fetch_one(database.pool())
        .await
        .expect("the account")
}

/// A host whose next batch finds the connection, its prepared statements, the description of the table and the row at hand.
async fn at_work(database: &TestDatabase, modules: &Modules, way: &RoundTrips) -> InProcess {
    let host = InProcess::start_at(way.url(), modules).await;
    let position = append(database, "7", opened("7")).await;
    until_checkpoint(database, "accounts_1", position).await;
    // Who lets its line go live has the lane in hand for that, and a batch would find it taken.
    database.until_live("accounts", "accounts_1").await;
    // The first that goes on where one ended has its statement prepared.
    for _ in 0..2 {
        let position = append(database, "7", deposited("7", 1)).await;
        until_checkpoint(database, "accounts_1", position).await;
    }
    host
}

/// Whoever follows the horizon looks every few milliseconds: the pool would ask twice more each time.
#[tokio::test]
async fn a_look_at_the_horizon_asks_once() {
    let database = TestDatabase::new().await;
    let way = RoundTrips::to(&database).await;
    let store = Store::connect(way.url(), 2).await.expect("a store");
    let mut horizon = Horizon::new(store);
    // Where the log ends, and then what comes after that: each is prepared once.
    for _ in 0..2 {
        horizon.look_along().await.expect("a look");
    }

    let before = way.of("");
    for number in 1..=10 {
        append(&database, "7", deposited("7", 5)).await;
        let look = horizon.look_along().await.expect("a look");
        assert_eq!(look.horizon, Some(number));
    }

    let (asked, what) = (way.of("") - before, way.asked("", before));
    assert_eq!(asked, 10, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_batch_asks_once() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["accounts"]);
    let way = RoundTrips::to(&database).await;
    let host = at_work(&database, &modules, &way).await;

    let before = way.of("accounts_1");
    for _ in 0..10 {
        let position = append(&database, "7", deposited("7", 5)).await;
        until_checkpoint(&database, "accounts_1", position).await;
    }

    let (asked, what) = (
        way.of("accounts_1") - before,
        way.asked("accounts_1", before),
    );
    assert_eq!(asked, 10 * OF_A_LIVE_BATCH, "{what}");
    assert_eq!(balance(&database, "7").await, 52);
    host.stop().await;
}

/// When its line goes live, say: what the last batch committed is true under the new row too. An event that comes before the
/// host has heard of the change goes by the old row, in vain, and then takes the lane first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_row_that_concerns_no_event_asks_for_no_look() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["accounts"]);
    let way = RoundTrips::to(&database).await;
    let host = at_work(&database, &modules, &way).await;

    let before = way.of("accounts_1");
    for _ in 0..10 {
        let change = "UPDATE projectionist.subscriptions SET went_live_at = clock_timestamp();
                      SELECT pg_notify('projectionist_control', '')";
        let changed = sqlx::raw_sql(change).execute(database.pool()).await;
        changed.expect("changed");
        let position = append(&database, "7", deposited("7", 5)).await;
        until_checkpoint(&database, "accounts_1", position).await;
    }

    let (asked, what) = (
        way.of("accounts_1") - before,
        way.asked("accounts_1", before),
    );
    let at_most = 10 * (OF_A_LIVE_BATCH + OF_A_BATCH_THAT_TAKES_THE_LANE_FIRST);
    assert!(asked <= at_most, "{asked}: {what}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_for_which_nothing_comes_opens_no_transaction() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["accounts"]);
    let waits = crate::support::modules::bytes_of("waits");
    for id in WAITING {
        let bytes = replace(waits.clone(), WAITING[0], id);
        modules.put_bytes(&format!("{id}.wasm"), &bytes);
    }
    let way = RoundTrips::to(&database).await;
    let host = InProcess::start_at(way.url(), &modules).await;
    let position = append(&database, "7", opened("7")).await;
    for id in WAITING.into_iter().chain(["accounts_1"]) {
        until_checkpoint(&database, id, position).await;
    }
    // Each has to look for itself where it is, after it has become active and after its line has gone live. A checkpoint is
    // passed on only for who knows the present row.
    let mut position = 0;
    for id in WAITING {
        database.until_live(&id[..id.len() - 2], id).await;
    }
    for _ in 0..2 {
        position = append(&database, "7", deposited("7", 5)).await;
        for id in WAITING {
            until_checkpoint(&database, id, position).await;
        }
    }

    let before = way.of("waits");
    for _ in 0..10 {
        position = append(&database, "7", deposited("7", 5)).await;
        until_checkpoint(&database, "accounts_1", position).await;
    }
    for id in WAITING {
        until_checkpoint(&database, id, position).await;
    }

    let (asked, what) = (way.of("waits") - before, way.asked("waits", before));
    assert_eq!(asked, 0, "{what}");
    host.stop().await;
}

/// Of very many lanes few have something to do when a host starts; the others would log in as their roles to find that out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_opens_no_session_where_nothing_came() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["accounts"]);
    modules.put_bytes("waits.wasm", &crate::support::modules::bytes_of("waits"));
    let (id, way) = (WAITING[0], RoundTrips::to(&database).await);
    let host = InProcess::start_at(way.url(), &modules).await;
    let mut position = append(&database, "7", opened("7")).await;
    until_checkpoint(&database, "accounts_1", position).await;
    until_checkpoint(&database, id, position).await;
    database.until_live("accounts", "accounts_1").await;
    database.until_live("waits_aa", id).await;
    host.stop().await;

    let before = way.of("waits");
    // Where it stopped, and behind that.
    for _ in 0..2 {
        let host = InProcess::start_at(way.url(), &modules).await;
        until_checkpoint(&database, "accounts_1", position).await;
        until_checkpoint(&database, id, position).await;
        host.stop().await;
        position = append(&database, "7", deposited("7", 5)).await;
    }
    let host = InProcess::start_at(way.url(), &modules).await;
    until_checkpoint(&database, "accounts_1", position).await;
    until_checkpoint(&database, id, position).await;
    host.stop().await;

    let (asked, what) = (way.of("waits") - before, way.asked("waits", before));
    assert_eq!(asked, 0, "{what}");
    assert_eq!(balance(&database, "7").await, 10);
}

/// In a rebuild rows are read once and written once a batch, however many chunks of events it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_asks_by_batches_and_not_by_events() {
    const CHUNKS: usize = 5;
    let database = TestDatabase::new().await;
    append(&database, "7", opened("7")).await;
    let deposits = vec![deposited("7", 1); CHUNKS * 1_000];
    let appended = database.append("account-7", &deposits).await;
    let last = appended[appended.len() - 1].position;
    let modules = Modules::with(&["accounts"]);
    // One to read rows, one to write them, and a question to the host; without the limit nobody would notice more.
    std::fs::write(modules.file("accounts.toml"), "[limits]\nhost-calls = 3\n").expect("written");
    let way = RoundTrips::to(&database).await;
    let host = InProcess::start_at(way.url(), &modules).await;
    until_checkpoint(&database, "accounts_1", last).await;

    // Setup and its audit, two logins, and two batches: of what was there, and of what came to be known as settled later.
    let asked = way.of("accounts_1");
    assert!(asked <= 30, "the server was asked {asked} times");
    assert_eq!(balance(&database, "7").await, 5_000);
    host.stop().await;
}

/// What one host knows of rows is not true any more when the other one has written them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hosts_that_take_turns_never_write_old_rows() {
    const ACCOUNTS: usize = 3;
    const DEPOSITS: usize = 300;
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["accounts"]);
    let hosts = [
        InProcess::start(&database, &modules).await,
        InProcess::start(&database, &modules).await,
    ];
    let accounts: Vec<String> = (0..ACCOUNTS).map(|number| number.to_string()).collect();
    let mut position = 0;
    for account in &accounts {
        position = append(&database, account, opened(account)).await;
    }
    until_checkpoint(&database, "accounts_1", position).await;

    for number in 0..DEPOSITS {
        let account = &accounts[number % ACCOUNTS];
        position = append(&database, account, deposited(account, 1)).await;
        if number % 10 == 0 {
            until_checkpoint(&database, "accounts_1", position).await;
        }
    }
    until_checkpoint(&database, "accounts_1", position).await;

    for account in &accounts {
        assert_eq!(
            balance(&database, account).await,
            (DEPOSITS / ACCOUNTS) as i64
        );
    }
    for host in hosts {
        host.stop().await;
    }
}
