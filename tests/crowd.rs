//! Very many subscriptions of which ten have work: they cost as ten, in connections and in transactions.
//!
//! `PROJECTIONIST_CROWD=1000` makes it a thousand.

use std::time::{Duration, Instant};

use projectionist::store::DEFAULT_CONNECTIONS;
use serde_json::Value;

use crate::support::command::projectionist;
use crate::support::{HostProcess, Modules, TestDatabase, eventually};

const SUBSCRIPTIONS: usize = 300;
const SUBSCRIPTIONS_VARIABLE: &str = "PROJECTIONIST_CROWD";

/// Those that want every event; the others want one that never happens.
const BUSY: usize = 10;

/// Sessions that the host may have for all of them.
const ROLE_CONNECTIONS: usize = 24;

/// Events that are appended one by one.
const EVENTS: usize = 50;

/// How long all of them may take to be registered, with their roles and schemas, on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// The smallest guest, and what makes it want nothing: a filter in its descriptor, which stands at 64.
const SMALL: &str = include_str!("hostile/small.wat");
const WANTS_NOTHING: &str = r#"
    (data (i32.const 88) "\c0\00\00\00\01\00\00\00")
    (data (i32.const 192) "\f0\00\00\00\01\00\00\00")
    (data (i32.const 240) "\00\01\00\00\0c\00\00\00")
    (data (i32.const 256) "NeverHappens")
    (global $free"#;

/// Its id is as long as `small_1`, since its length stands in the descriptor.
fn id(number: usize) -> String {
    format!("sx{number:03}_1")
}

fn guest(number: usize) -> Vec<u8> {
    let text = SMALL.replace("small_1", &id(number));
    let text = match number < BUSY {
        true => text,
        false => text.replacen("\n    (global $free", WANTS_NOTHING, 1),
    };
    wat::parse_str(text).expect("a guest")
}

/// Sessions in this database, those of the test aside.
async fn sessions(database: &TestDatabase) -> usize {
    let count: i64 = number(
        database,
        "SELECT count(*) FROM pg_stat_activity a
          WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.client_port IS NOT NULL",
    )
    .await;
    usize::try_from(count).expect("a count")
}

async fn number(database: &TestDatabase, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(database.pool())
        .await
        .expect("a number")
}

/// Waits until so many rows are counted.
async fn until(database: &TestDatabase, query: &'static str, wanted: usize, host: &HostProcess) {
    eventually(LONG, async || match number(database, query).await {
        count if usize::try_from(count) == Ok(wanted) => Ok(()),
        count => Err(format!(
            "{count} of {wanted}: {query}\n{}",
            tail(&host.output())
        )),
    })
    .await;
}

fn tail(text: &str) -> &str {
    let begin = text.char_indices().rev().nth(2_000).map_or(0, |(at, _)| at);
    &text[begin..]
}

const ACTIVE: &str = "SELECT count(*) FROM projectionist.subscriptions WHERE status = 'Active'";
const AT_THE_HEAD: &str = "SELECT count(*) FROM projectionist.checkpoints WHERE position = (SELECT max(position) FROM projectionist.events)";
const COMMITS: &str = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
const ROLES: &str = "SELECT count(*) FROM projectionist.roles r JOIN pg_roles p ON p.rolname = r.name WHERE p.rolcanlogin";

#[tokio::test]
async fn very_many_subscriptions_of_which_ten_are_busy_cost_as_ten() {
    let subscriptions = std::env::var(SUBSCRIPTIONS_VARIABLE)
        .map_or(SUBSCRIPTIONS, |text| text.parse().expect("a number"));
    let most = DEFAULT_CONNECTIONS as usize + ROLE_CONNECTIONS;
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    database.append_ticks(1).await;
    for number in 0..subscriptions {
        modules.put_bytes(&format!("{}.wasm", id(number)), &guest(number));
    }
    let began = Instant::now();
    let host = HostProcess::start_with(database.url(), modules.path(), |command| {
        command.env(
            "PROJECTIONIST_ROLE_CONNECTIONS",
            ROLE_CONNECTIONS.to_string(),
        )
    });
    until(&database, ACTIVE, subscriptions, &host).await;
    println!(
        "{subscriptions} subscriptions are active after {:?}",
        began.elapsed()
    );
    until(&database, ROLES, 2 * subscriptions, &host).await;
    until(&database, AT_THE_HEAD, subscriptions, &host).await;

    let (own, commits) = (
        database.pool().size() as usize,
        number(&database, COMMITS).await,
    );
    let (mut seen, mut asked, began) = (0, 0, Instant::now());
    for _ in 0..EVENTS {
        let position = database.append_ticks(1).await;
        eventually(LONG, async || {
            seen = seen.max(sessions(&database).await);
            asked += 2;
            let handled = "SELECT count(*) FROM projectionist.checkpoints WHERE subscription < 'sx010' AND position >= $1";
            let handled: i64 = sqlx::query_scalar(handled)
                .bind(position)
                .fetch_one(database.pool())
                .await
                .expect("a count");
            match usize::try_from(handled) {
                Ok(BUSY) => Ok(()),
                _ => Err(format!("{handled} of {BUSY} have {position}\n{}", tail(&host.output()))),
            }
        })
        .await;
    }
    println!("{EVENTS} events took {:?}", began.elapsed());
    until(&database, AT_THE_HEAD, subscriptions, &host).await;
    let commits = number(&database, COMMITS).await - commits - asked;
    println!("{commits} transactions, {seen} sessions, of which {own} are the test's");
    // Those that have nothing to do would have one for each event.
    let too_many = i64::try_from(EVENTS * subscriptions / 2).expect("a number");
    assert!(
        commits < too_many,
        "{commits} transactions for {EVENTS} events"
    );
    assert!(
        seen <= most + own + 2,
        "{seen} sessions were open, {own} of them the test's"
    );

    let began = Instant::now();
    let shown = projectionist(Some(database.url()), &["status", "--json"]).await;
    println!("status took {:?}", began.elapsed());
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let listed = shown["subscriptions"].as_array().expect("a list");
    assert_eq!(listed.len(), subscriptions);
    assert_eq!(host.terminate(), Some(0));
}
