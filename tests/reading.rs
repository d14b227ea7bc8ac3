//! Reading the log: ranges, filters, limits, and the statements themselves.

use futures_util::future;
use projectionist::store::{
    EventSource, ExpectedVersion, NewEvent, ReadFilter, ReadLimit, Reading, Store, Walls, append,
};
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr};
use subscription::{Clause, Filter, Pattern};

use crate::support::{PATIENCE, TestDatabase, eventually, repository};

const EVERYTHING: ReadLimit = ReadLimit {
    events: 1_000,
    bytes: usize::MAX,
};

/// Events of several streams, types and tags, at positions 1 to 5.
async fn filled(store: &Store) {
    for (stream, event_type, tags) in [
        ("loan-1", "Opened", &["vip", "region:north"][..]),
        ("loan-2", "Opened", &[]),
        ("loan-1", "Paid", &["region:south"]),
        ("card-1", "Paid", &["vip"]),
        ("card-1", "PaidBack", &[]),
    ] {
        let event = NewEvent {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..NewEvent::new(event_type)
        };
        store
            .append(stream, ExpectedVersion::Any, &[event])
            .await
            .expect("appended");
    }
}

fn clause(types: &[&str], except_types: &[&str], streams: &[&str], tags: &[&str]) -> Clause {
    let patterns = |texts: &[&str]| Pattern::parse_all(texts).expect("patterns");
    Clause {
        types: patterns(types),
        except_types: patterns(except_types),
        streams: patterns(streams),
        tags: patterns(tags),
    }
}

#[tokio::test]
async fn a_filter_in_sql_finds_what_the_rule_finds() {
    let database = TestDatabase::new().await;
    let store = database.store();
    filled(&store).await;
    let all = store
        .read_events(0, i64::MAX, &ReadFilter::everything(), EVERYTHING)
        .await
        .expect("read")
        .events;
    assert_eq!(all.len(), 5);

    for clauses in [
        vec![],
        vec![clause(&["Opened"], &[], &[], &[])],
        vec![clause(&["Pa*"], &[], &[], &[])],
        vec![clause(&["Opened", "PaidB*"], &[], &[], &[])],
        vec![clause(&[], &["Paid"], &[], &[])],
        vec![clause(&[], &["Paid*"], &[], &[])],
        vec![clause(&[], &[], &["loan-1"], &[])],
        vec![clause(&[], &[], &["loan-*", "none"], &[])],
        vec![clause(&[], &[], &[], &["vip"])],
        vec![clause(&[], &[], &[], &["region:*"])],
        vec![clause(&[], &[], &[], &["region:n*", "vip"])],
        vec![clause(&[], &[], &[], &["*"])],
        vec![clause(&["Paid"], &[], &["card-*"], &["vip"])],
        vec![
            clause(&["Opened"], &[], &["loan-2"], &[]),
            clause(&[], &[], &["card-1"], &["vip"]),
        ],
        vec![clause(&["*"], &[], &["*"], &[])],
        vec![clause(&["Nothing"], &[], &[], &[])],
    ] {
        let filter = Filter(clauses);
        let expected: Vec<i64> = all
            .iter()
            .filter(|event| filter.matches(event.event_type(), event.stream(), &event.tags))
            .map(|event| event.position)
            .collect();
        let page = store
            .read_events(0, i64::MAX, &ReadFilter::from(&filter), EVERYTHING)
            .await
            .expect("read");
        let found: Vec<i64> = page.events.iter().map(|event| event.position).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_page_says_how_far_it_reaches() {
    let database = TestDatabase::new().await;
    let store = database.store();
    filled(&store).await;
    let opened = ReadFilter::from(&Filter(vec![clause(&["Opened"], &[], &[], &[])]));
    let limited = |events| ReadLimit {
        events,
        bytes: usize::MAX,
    };
    let read = async |after, up_to, filter: &ReadFilter, limit| {
        let page = store
            .read_events(after, up_to, filter, limit)
            .await
            .expect("read");
        (
            page.events
                .iter()
                .map(|event| event.position)
                .collect::<Vec<_>>(),
            page.up_to,
        )
    };

    assert_eq!(
        read(0, 5, &opened, EVERYTHING).await,
        (vec![1, 2], 5),
        "the rest was filtered out"
    );
    assert_eq!(
        read(0, 5, &opened, limited(2)).await,
        (vec![1, 2], 2),
        "there may be more"
    );
    assert_eq!(read(0, 5, &opened, limited(1)).await, (vec![1], 1));
    assert_eq!(
        read(2, 4, &ReadFilter::everything(), EVERYTHING).await,
        (vec![3, 4], 4)
    );
    assert_eq!(
        read(5, 9, &ReadFilter::everything(), EVERYTHING).await,
        (vec![], 9)
    );
    let one_byte = ReadLimit {
        events: 1_000,
        bytes: 1,
    };
    assert_eq!(
        read(0, 5, &ReadFilter::everything(), one_byte).await,
        (vec![1], 1),
        "at least one"
    );
}

#[tokio::test]
async fn the_last_events_come_in_ascending_order() {
    let database = TestDatabase::new().await;
    let store = database.store();
    filled(&store).await;
    let limit = ReadLimit {
        events: 2,
        bytes: usize::MAX,
    };

    let last = store
        .read_last_events(0, 4, &ReadFilter::everything(), limit)
        .await
        .expect("read");

    assert_eq!(
        last.iter().map(|event| event.position).collect::<Vec<_>>(),
        [3, 4]
    );
}

#[tokio::test]
async fn a_cut_read_leaves_the_store_usable() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let large = NewEvent {
        data: serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(1_000_000)))
            .expect("JSON"),
        ..NewEvent::new("Large")
    };
    store
        .append("s", ExpectedVersion::Any, &vec![large; 20])
        .await
        .expect("appended");
    let limit = ReadLimit {
        events: 1_000,
        bytes: 2_500_000,
    };

    let mut after = 0;
    let mut sizes = Vec::new();
    while after < 20 {
        let page = store
            .read_events(after, 20, &ReadFilter::everything(), limit)
            .await
            .expect("read");
        sizes.push(page.events.len());
        after = page.up_to;
    }

    assert_eq!(sizes, [3, 3, 3, 3, 3, 3, 2]);
}

/// Sessions of the server that read a page of the log last.
async fn readers(database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT%ORDER BY%LIMIT $3%' AND pid <> pg_backend_pid()",
    )
    .fetch_one(database.pool())
    .await
    .expect("sessions")
}

/// Takes so many connections at once, and gives them back.
async fn take_at_once(store: &Store, connections: usize) {
    let taken = (0..connections).map(|_| store.pool().acquire());
    let taken = tokio::time::timeout(PATIENCE, future::try_join_all(taken));
    let taken = taken.await.expect("so many are free").expect("connections");
    // Each is asked whether it is good on its way back.
    drop(taken);
    eventually(PATIENCE, async || match store.pool().num_idle() {
        idle if idle >= connections => Ok(()),
        idle => Err(format!("{idle} connections are back")),
    })
    .await;
}

/// Reads on, one event a page.
async fn positions(reading: &mut Reading) -> Vec<i64> {
    let one = ReadLimit {
        events: 1,
        bytes: usize::MAX,
    };
    let (mut positions, mut after) = (Vec::new(), 0);
    while after < i64::MAX {
        let page = reading.page(after, one).await.expect("read");
        positions.extend(page.events.iter().map(|event| event.position));
        after = page.up_to;
    }
    positions
}

#[tokio::test]
async fn who_reads_on_keeps_a_connection_while_others_have_enough() {
    let database = TestDatabase::new().await;
    filled(&database.store()).await;
    let store = Store::connect(database.url(), 5).await.expect("a store");
    take_at_once(&store, 5).await;
    let (everything, all) = (ReadFilter::everything, [1, 2, 3, 4, 5]);

    let mut first = store.reading(everything(), i64::MAX);
    assert_eq!(positions(&mut first).await, all);
    assert_eq!(readers(&database).await, 1);
    let mut second = store.reading(everything(), i64::MAX);
    assert_eq!(positions(&mut second).await, all);
    assert!(readers(&database).await > 1, "there is one place of five");
    take_at_once(&store, 4).await;

    drop((first, second));
    let open = store.with_walls(Walls::None, None);
    let mut reading = open.reading(everything(), i64::MAX);
    assert_eq!(positions(&mut reading).await, all);
    take_at_once(&open, 5).await;
}

#[tokio::test]
async fn the_head_is_settled_when_open_writers_have_ended() {
    let database = TestDatabase::new().await;
    let store = database.store();
    assert_eq!(store.settled_head().await.expect("a head"), 0);
    let mut writer = database.connect().await;
    let mut open = writer.begin().await.expect("begun");
    let late = append::append(
        &mut open,
        "late",
        ExpectedVersion::Any,
        &[NewEvent::new("A")],
    )
    .await;
    assert_eq!(late.expect("appended")[0].position, 1);
    store
        .append("early", ExpectedVersion::Any, &[NewEvent::new("A")])
        .await
        .expect("appended");

    let settled = tokio::spawn({
        let store = store.clone();
        async move { store.settled_head().await }
    });
    tokio::task::yield_now().await;
    assert!(!settled.is_finished());
    open.commit().await.expect("committed");

    assert_eq!(settled.await.expect("settled").expect("a head"), 2);
    let page = store
        .read_events(0, 2, &ReadFilter::everything(), EVERYTHING)
        .await
        .expect("read");
    assert_eq!(page.events.len(), 2);
}

#[tokio::test]
async fn every_statement_prepares() {
    let database = TestDatabase::new().await;
    let source = EventSource::built_in();
    let mut connection = database.connect().await;
    let mut failed = Vec::new();
    let directory = repository().join("host/src/store/sql");
    for entry in std::fs::read_dir(directory)
        .expect("the statements")
        .flatten()
    {
        let text = std::fs::read_to_string(entry.path()).expect("a statement");
        let sql = source.render(&text.replace("{filter}", "true"));
        if let Err(error) = (&mut connection)
            .prepare(AssertSqlSafe(sql).into_sql_str())
            .await
        {
            failed.push(format!("{}: {error}", entry.file_name().display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
