//! Handlers get what they ask for by type, in any order.

use crate::{Lines, event};
use projectionist_sdk::bindings::projectionist::events::types::Payload;
use projectionist_sdk::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Deposited {
    amount: i64,
}

#[derive(Deserialize)]
struct Case {
    case: String,
}

#[test]
fn a_handler_gets_its_arguments_in_any_order() {
    let lines = Lines::default();
    let seen = lines.clone();
    let handler = move |at: RecordedAt,
                        stream: StreamId,
                        position: Position,
                        event: Event<Deposited>,
                        metadata: Metadata,
                        typed: Metadata<Case>,
                        message: Message,
                        fold: Fold<u8>| {
        let account = stream
            .after("account-")
            .expect("the stream has this prefix");
        seen.add(format!(
            "{account} {} {} {}",
            position.0,
            event.amount,
            message.event_type()
        ));
        seen.add(format!(
            "{} {} {} {}",
            metadata["case"],
            typed.case,
            at.date(),
            fold.get()
        ));
    };
    let projector = Projector::new("accounts_1").on("Deposited", handler);
    projector
        .handle(vec![event(5, "Deposited", r#"{"amount": 3}"#)])
        .expect("nothing fails");
    assert_eq!(lines.all(), ["7 5 3 Deposited", "\"7\" 7 2011-10-01 0"]);
}

#[test]
fn handlers_of_the_type_come_first_and_the_wildcard_after_them() {
    let lines = Lines::default();
    let line = |name: &'static str| {
        let lines = lines.clone();
        move || lines.add(name)
    };
    let projector = Projector::new("accounts_1")
        .on_any(line("any"))
        .on("Deposited", line("deposited"))
        .on("Depos*", line("prefix"))
        .on("Withdrawn", line("withdrawn"));
    projector
        .handle(vec![event(1, "Deposited", "{}"), event(2, "Other", "{}")])
        .expect("nothing fails");
    assert_eq!(lines.all(), ["deposited", "prefix", "any", "any"]);
}

#[test]
fn a_fold_lasts_for_one_call() {
    let lines = Lines::default();
    let seen = lines.clone();
    let projector = Projector::new("accounts_1")
        .on_any(|count: Fold<u32>| *count.get() += 1)
        .after_chunk(move |count: Fold<u32>| seen.add(count.take().to_string()));
    let chunk = |count| {
        (1..=count)
            .map(|position| event(position, "Deposited", "{}"))
            .collect()
    };
    projector.handle(chunk(3)).expect("nothing fails");
    projector.handle(chunk(2)).expect("nothing fails");
    assert_eq!(lines.all(), ["3", "2"]);
}

#[test]
fn data_of_another_shape_is_named_with_its_path() {
    #[derive(Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "reading it fails")]
        lines: Vec<Deposited>,
    }
    let projector = Projector::new("accounts_1").on("Deposited", |_: Event<Outer>| ());
    let odd = event(
        9,
        "Deposited",
        r#"{"lines": [{"amount": 1}, {"amount": "x"}]}"#,
    );
    let failure = projector
        .handle(vec![odd])
        .expect_err("the data does not fit");
    assert_eq!(
        failure.message,
        "cannot read the data of Deposited at position 9, at `lines[1].amount`: \
         invalid type: string \"x\", expected i64 at line 1 column 40"
    );
}

#[test]
fn bytes_are_no_json_but_can_be_had() {
    let lines = Lines::default();
    let seen = lines.clone();
    let mut raw = event(4, "Deposited", "");
    raw.data = Payload::Bytes(vec![1, 2, 3]);
    let whole = Projector::new("accounts_1")
        .on_any(move |message: Message| seen.add(format!("{:?}", message.payload())));
    whole.handle(vec![raw.clone()]).expect("nothing fails");
    assert_eq!(lines.all(), ["Bytes([1, 2, 3])"]);
    let typed = Projector::new("accounts_1").on_any(|_: Event<Deposited>| ());
    let failure = typed
        .handle(vec![raw])
        .expect_err("bytes are not read as JSON");
    assert!(
        failure.message.ends_with("at `.`: it is 3 bytes, not JSON"),
        "{}",
        failure.message
    );
}

#[test]
fn a_stream_of_another_prefix_fails_with_a_hint() {
    let handler = |stream: StreamId| stream.after("customer-").map(|_| ());
    let failure = Projector::new("accounts_1")
        .on_any(handler)
        .handle(vec![event(1, "Deposited", "{}")]);
    assert_eq!(
        failure.expect_err("the prefix is another").message,
        "stream `account-7` does not begin with `customer-`; narrow the filter to `customer-*`"
    );
}
