//! What a guest says about itself.

use projectionist_sdk::bindings::projectionist::events::types::Clause as WireClause;
use projectionist_sdk::bindings::projectionist::guest::types::{Consistency, Descriptor, Kind};
use projectionist_sdk::prelude::*;

fn types(filter: &[WireClause]) -> Vec<Vec<&str>> {
    filter
        .iter()
        .map(|clause| clause.types.iter().map(String::as_str).collect())
        .collect()
}

#[test]
fn wants_the_types_that_have_a_handler() {
    let descriptor = Projector::new("accounts_1")
        .on("B", || ())
        .on("A*", || ())
        .on("B", || ())
        .describe();
    assert_eq!(types(&descriptor.filter), [["A*", "B"]]);
}

#[test]
fn wants_everything_with_a_wildcard() {
    let descriptor = Projector::new("accounts_1")
        .on("B", || ())
        .on_any(|| ())
        .describe();
    assert!(descriptor.filter.is_empty());
}

#[test]
fn wants_what_it_says_when_it_says_so() {
    let clause = Clause::streams(["account-*"])
        .and_types(["A"])
        .except_types(["B"])
        .and_tags(["vip"]);
    let descriptor = Projector::new("accounts_1")
        .on_any(|| ())
        .filter(clause)
        .filter(Clause::types(["C"]))
        .describe();
    assert_eq!(types(&descriptor.filter), [["A"], ["C"]]);
    let WireClause {
        types,
        except_types,
        streams,
        tags,
    } = &descriptor.filter[0];
    assert_eq!(
        [types, except_types, streams, tags],
        [&["A"], &["B"], &["account-*"], &["vip"]]
    );
}

#[test]
fn has_the_defaults_of_its_kind() {
    let projector = Projector::new("accounts_1").on("A", || ()).describe();
    assert_eq!(
        (projector.kind, projector.run_mode),
        (Kind::Projector, RunMode::FromBeginning)
    );
    let processor = Processor::new("welcome")
        .on("A", |_: Message| ())
        .describe();
    assert_eq!(
        (processor.kind, processor.run_mode),
        (Kind::Processor, RunMode::FromNow)
    );
    let Descriptor {
        group,
        partition_by,
        lanes,
        consistency,
        max_chunk,
        options,
        ..
    } = processor;
    assert_eq!(
        (group, partition_by.as_str(), lanes, consistency),
        (None, "none", 1, Consistency::Eventual)
    );
    assert_eq!((max_chunk, options), (0, Vec::new()));
}

#[test]
fn says_what_the_builder_was_told() {
    let descriptor = Projector::new("accounts_1")
        .on("A", |_: Message| ())
        .group("finance")
        .run_mode(RunMode::FromPosition(7))
        .strong()
        .max_chunk(50)
        .option("timeout-ms", 2_000)
        .describe();
    assert_eq!(descriptor.group.as_deref(), Some("finance"));
    assert_eq!(descriptor.run_mode, RunMode::FromPosition(7));
    assert_eq!(
        (descriptor.consistency, descriptor.max_chunk),
        (Consistency::Strong, 50)
    );
    assert_eq!(
        descriptor.options,
        [("timeout-ms".to_owned(), "2000".to_owned())]
    );
}

#[test]
fn asks_for_what_its_handlers_look_at() {
    let options = |projector: Projector| projector.describe().options;
    let parts = |names: &str| [("event-parts".to_owned(), names.to_owned())];
    let streams = || {
        Projector::new("accounts_1")
            .prefetch::<Account, _, _>("*", |stream: StreamId| stream.as_str().to_owned())
            .on("A", |_: Event<Account>, _: Position, _: Table<Account>| ())
    };
    assert_eq!(options(streams()), parts("stream,data"));
    assert_eq!(
        options(streams().on_any(|_: RecordedAt, _: Metadata| ())),
        parts("stream,recorded-at,data,metadata")
    );
    assert_eq!(options(streams().on("B", |_: Message| ())), []);
    assert_eq!(
        options(streams().option("event-parts", "data")),
        parts("data"),
        "its author knows better"
    );
}

#[derive(Table, Default, serde::Deserialize)]
#[table(name = "account")]
struct Account {
    #[key]
    id: String,
    owner: Option<String>,
    #[index]
    balance: i64,
}

#[test]
fn says_which_tables_it_has() {
    let descriptor = Projector::new("accounts_1")
        .table::<Account>()
        .on("A", |_: Message| ())
        .describe();
    let shape = "account(id text key, owner text?, balance bigint index)";
    assert_eq!(
        descriptor.options,
        [("tables".to_owned(), shape.to_owned())]
    );
}

#[test]
#[should_panic(expected = "accounts_1 handles nothing")]
fn refuses_to_handle_nothing() {
    Projector::new("accounts_1").describe();
}
