//! Which events reach a guest: the condition in SQL wants what the rules want, and what is left out moves the checkpoint.

use std::collections::BTreeMap;

use projectionist::store::{NewEvent, ReadFilter, ReadLimit, RecordedEvent, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use subscription::{Clause, Descriptor, EventPart, Filter, Kind, Pattern, SubscriberId};

use crate::support::log::{column, event};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually, stepped};

/// Filters that are tried against the log of one test.
const FILTERS: usize = 300;

/// Every event of the log that the database finds.
async fn found(store: &Store, filter: &Filter) -> Vec<i64> {
    let limit = ReadLimit {
        events: 10_000,
        bytes: usize::MAX,
    };
    let page = store
        .read_events(0, i64::MAX, &ReadFilter::from(filter), limit)
        .await
        .unwrap_or_else(|error| panic!("{filter}: {error}"));
    page.events.iter().map(|event| event.position).collect()
}

/// Every event of the log that the rules want.
fn wanted(log: &[RecordedEvent], filter: &Filter) -> Vec<i64> {
    log.iter()
        .filter(|event| filter.matches(event.event_type(), event.stream(), &event.tags))
        .map(|event| event.position)
        .collect()
}

/// A log in which words are short and alike, with all that means something to SQL.
async fn log() -> (TestDatabase, Vec<RecordedEvent>) {
    let database = TestDatabase::new().await;
    let types = [
        "a", "aa", "A", "ab", "b%", "b_", "_", "%", "ä", "äb", "a b", "\\",
    ];
    let streams = ["a", "a-1", "a-10", "aa", "b%", "ä-1", "'", "\"x\""];
    let tags: [&[&str]; 6] = [
        &[],
        &["a"],
        &["aa", "b"],
        &["ä"],
        &["%"],
        &["a:1", "a:2", "B"],
    ];
    for stream in streams {
        let mut events = Vec::new();
        for event_type in types {
            for tags in tags {
                events.push(NewEvent {
                    tags: tags.iter().map(ToString::to_string).collect(),
                    ..NewEvent::new(event_type)
                });
            }
        }
        database.append(stream, &events).await;
    }
    let events = database.log().await;
    assert_eq!(events.len(), 8 * 12 * 6);
    (database, events)
}

fn pattern(texts: &'static [&'static str]) -> impl Strategy<Value = Pattern> {
    let text = prop::sample::select(texts);
    (text, any::<bool>()).prop_map(|(text, prefix)| match prefix {
        true => Pattern::Prefix(text.to_owned()),
        false if text.is_empty() => Pattern::Exact("a".to_owned()),
        false => Pattern::Exact(text.to_owned()),
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let words = &[
        "", "a", "aa", "A", "a-", "a-1", "a:", "b", "b%", "b_", "_", "%", "ä", "ä-", "a ", "\\",
        "'", "\"x",
    ];
    let list = || prop::collection::vec(pattern(words), 0..3);
    let clause =
        (list(), list(), list(), list()).prop_map(|(types, except_types, streams, tags)| Clause {
            types,
            except_types,
            streams,
            tags,
        });
    prop::collection::vec(clause, 0..4).prop_map(Filter)
}

#[tokio::test]
async fn the_database_finds_what_the_rules_want() {
    let (database, log) = log().await;
    let store = database.store();
    let mut runner = TestRunner::deterministic();
    let (mut some, mut none) = (0, 0);
    for _ in 0..FILTERS {
        let tree = any_filter().new_tree(&mut runner);
        let mut tree = tree.expect("a filter");
        let filter = tree.current();
        let expected = wanted(&log, &filter);
        if found(&store, &filter).await == expected {
            match expected.len() {
                0 => none += 1,
                count if count < log.len() => some += 1,
                _ => {}
            }
            continue;
        }
        // The smallest filter that still shows it says what is wrong.
        let mut smallest = filter;
        while tree.simplify() {
            let simpler = tree.current();
            if found(&store, &simpler).await == wanted(&log, &simpler) {
                if !tree.complicate() {
                    break;
                }
            } else {
                smallest = simpler;
            }
        }
        let (in_sql, by_rule) = (found(&store, &smallest).await, wanted(&log, &smallest));
        panic!("{smallest}: the database finds {in_sql:?}, the rules want {by_rule:?}");
    }
    assert!(
        some > 100,
        "{some} filters want some events, {none} want none"
    );
}

#[tokio::test]
async fn each_list_of_a_clause_and_each_form_of_a_pattern_works() {
    let (database, log) = log().await;
    let store = database.store();
    let patterns = |texts: &[&str]| Pattern::parse_all(texts).expect("good patterns");
    let lists = [&[] as &[&str], &["a"], &["a*"], &["*"], &["b%", "ä*"]];
    for list in lists {
        for place in 0..4 {
            let mut clause = Clause::default();
            let into = match place {
                0 => &mut clause.types,
                1 => &mut clause.except_types,
                2 => &mut clause.streams,
                _ => &mut clause.tags,
            };
            *into = patterns(list);
            let filter = Filter(vec![clause]);
            assert_eq!(
                found(&store, &filter).await,
                wanted(&log, &filter),
                "{filter}"
            );
        }
    }
}

#[tokio::test]
async fn a_guest_gets_what_its_filter_wants_and_the_rest_moves_the_checkpoint() {
    let database = TestDatabase::new().await;
    let tagged = |event_type: &str, tag: &str| NewEvent {
        tags: vec![tag.to_owned()],
        ..NewEvent::new(event_type)
    };
    for (stream, events) in [
        (
            "order-1",
            ["OrderPlaced", "OrderSeen", "Paid", "OrderTestRun"],
        ),
        ("legacy", ["OrderPlaced", "Paid", "Shipped", "Order"]),
        ("order", ["OrderPlaced", "Paid", "Paid", "Paid"]),
    ] {
        database.append(stream, &events.map(NewEvent::new)).await;
    }
    let last = [
        tagged("Moved", "vip"),
        tagged("Moved", "region:eu"),
        tagged("Moved", "region"),
        NewEvent::new("Moved"),
    ];
    let end = database.append("customer-1", &last).await[3].position;
    let modules = Modules::with(&["wants_some"]);
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let seen: Vec<i64> = database
        .seen("wants_some_1")
        .await
        .expect("rows")
        .into_iter()
        .map(|row| row.position)
        .collect();
    assert_eq!(seen, [1, 3, 5, 6, 8, 13, 14]);
    assert_eq!(database.position("wants_some_1").await, end);
    let status = database.status("wants_some_1").await;
    assert_eq!(status, "Active");
}

#[tokio::test]
async fn a_checkpoint_moves_although_nothing_is_wanted() {
    let database = TestDatabase::new().await;
    let modules = Modules::with(&["waits"]);
    let last = database.append_ticks(2_500).await;
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    assert_eq!(database.position("waits_aa_1").await, last);
    let types: Vec<String> = column(
        database.pool(),
        "SELECT DISTINCT type FROM projectionist.events",
    )
    .await;
    assert_eq!(types, ["Tick"]);
}

/// What a guest says it does not look at, it does not get, be it read from history or handed on at the head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_gets_the_parts_of_events_that_it_asks_for() {
    let database = TestDatabase::new().await;
    let event = NewEvent {
        tags: vec!["vip".to_owned()],
        causation_id: Some(uuid::Uuid::from_u128(7)),
        correlation_id: Some(uuid::Uuid::from_u128(8)),
        ..NewEvent::new("Seen")
    };
    let modules = Modules::with(&["glances"]);
    let mut streams = Vec::new();
    database.append("before", &vec![event.clone(); 150]).await;
    streams.extend(vec!["before".to_owned(); 150]);
    let host = InProcess::start_at(database.url(), &modules).await;
    for number in 0..5 {
        let stream = format!("live-{number}");
        let last = database.append(&stream, std::slice::from_ref(&event)).await[0].position;
        streams.push(stream);
        eventually(PATIENCE, async || {
            let found: Vec<i64> = column(
                database.pool(),
                "SELECT position FROM projectionist.checkpoints WHERE subscription = 'glances_1'",
            )
            .await;
            (found >= vec![last])
                .then_some(())
                .ok_or(format!("{found:?}"))
        })
        .await;
    }
    host.stop().await;

    let seen: Vec<(String, String, String)> =
        sqlx::query_as("SELECT event_type, stream, rest FROM glances_1.glance ORDER BY position")
            .fetch_all(database.pool())
            .await
            .expect("rows");
    let nothing = r#""" 0 0 Json("") false None None []"#;
    let expected: Vec<_> = streams
        .into_iter()
        .map(|stream| ("Seen".to_owned(), stream, nothing.to_owned()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_read_of_events_is_what_is_asked_for() {
    let database = TestDatabase::new().await;
    let given = NewEvent {
        tags: vec!["vip".to_owned()],
        causation_id: Some(uuid::Uuid::from_u128(7)),
        correlation_id: Some(uuid::Uuid::from_u128(8)),
        ..NewEvent::new("Seen")
    };
    database.append("s", &[given]).await;
    let id = SubscriberId::parse("some_1", Kind::Projector).expect("an id");
    let read = async |parts: &str| {
        let option = ("event-parts".to_owned(), parts.to_owned());
        let descriptor = Descriptor {
            options: vec![option],
            ..Descriptor::new(id.clone(), Kind::Projector)
        };
        let filter = ReadFilter::of(&descriptor);
        let limit = ReadLimit {
            events: 10,
            bytes: usize::MAX,
        };
        let store = database.store();
        let page = store.read_events(0, i64::MAX, &filter, limit).await;
        page.expect("read").events.remove(0)
    };
    let all = EventPart::ALL.map(EventPart::name).join(",");
    let whole = read(&all).await;
    let bare = read("").await;
    assert_eq!((bare.position, bare.event_type()), (1, "Seen"));
    type Look = fn(&RecordedEvent) -> String;
    let looks: [Look; 8] = [
        |event| event.id.to_string(),
        |event| event.stream().to_owned(),
        |event| event.version.to_string(),
        |event| event.recorded_at_micros.to_string(),
        |event| event.data().to_owned(),
        |event| event.metadata().to_owned(),
        |event| format!("{:?} {:?}", event.causation_id, event.correlation_id),
        |event| format!("{:?}", event.tags),
    ];
    for (part, look) in EventPart::ALL.into_iter().zip(looks) {
        assert_ne!(look(&whole), look(&bare), "{part:?}");
        let one = read(part.name()).await;
        for (other, look) in EventPart::ALL.into_iter().zip(looks) {
            let from = if other == part { &whole } else { &bare };
            assert_eq!(look(&one), look(from), "{other:?} of {part:?}");
        }
    }
}

/// The SDK takes events part by part; a guest of another toolchain one by one. Both see all of them alike.
#[tokio::test]
async fn a_guest_gets_the_same_events_whichever_way_it_takes_them() {
    let database = TestDatabase::new().await;
    let told = NewEvent {
        metadata: serde_json::value::to_raw_value(&serde_json::json!({"by": "me"})).expect("JSON"),
        tags: vec!["vip".to_owned(), "zoë".to_owned()],
        causation_id: Some(uuid::Uuid::from_u128(7)),
        correlation_id: Some(uuid::Uuid::from_u128(8)),
        ..event("Told", &serde_json::json!({"owner": "Zoë"}))
    };
    let bare = NewEvent::new("Bare");
    database.append("one", &[told.clone(), bare.clone()]).await;
    database.append("two", &[bare, told]).await;
    let modules = Modules::with(&["shows_events", "shows_events_one_by_one"]);
    let mut host = stepped(&database, &modules).await;

    host.once().await.expect("caught up");

    let expected: Vec<String> = database.log().await.iter().map(shown).collect();
    assert_eq!(expected.len(), 4);
    for query in [
        "SELECT event FROM shows_events_1.shown ORDER BY position",
        "SELECT event FROM shows_events_one_by_one_1.shown ORDER BY position",
    ] {
        let shown: Vec<String> = column(database.pool(), query).await;
        assert_eq!(shown, expected, "{query}");
    }
}

/// As the guest `shows_events` shows it.
fn shown(event: &RecordedEvent) -> String {
    let metadata: BTreeMap<String, String> =
        serde_json::from_str(event.metadata()).expect("an object");
    let cause = |id: Option<uuid::Uuid>| id.map(|id| id.to_string());
    format!(
        "{} {} {} {} {} {} {metadata:?} {:?} {:?} {:?}",
        event.id,
        event.stream(),
        event.version,
        event.event_type(),
        event.recorded_at_micros,
        event.data(),
        cause(event.causation_id),
        cause(event.correlation_id),
        event.tags
    )
}
