//! Events that come part by part are those that come one by one.

use crate::event;
use projectionist_sdk::PayloadRef;
use projectionist_sdk::bindings::projectionist::events::types::{Chunk, Event, Texts};
use projectionist_sdk::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

fn one_by_one() -> Vec<Event> {
    let mut first = event(5, "Opened", r#"{"owner": "Zoë"}"#);
    first.causation_id = Some("c-1".to_owned());
    first.tags = vec!["new".to_owned(), "zoë".to_owned()];
    let mut second = event(9, "Closed", "{}");
    second.stream = "account-18".to_owned();
    second.recorded_at += 1;
    second.metadata = "{}".to_owned();
    second.correlation_id = Some("k-2".to_owned());
    vec![first, second]
}

fn part_by_part() -> Chunk {
    let texts = |text: &str, ends: [u32; 2]| Texts {
        text: text.to_owned(),
        ends: ends.to_vec(),
    };
    let ids = "00000000-0000-0000-0000-00000000000500000000-0000-0000-0000-000000000009";
    Chunk {
        positions: vec![5, 9],
        types: texts("OpenedClosed", [6, 12]),
        ids: texts(ids, [36, 72]),
        streams: texts("account-7account-18", [9, 19]),
        versions: vec![5, 9],
        recorded_at: vec![1_317_449_338_256_000, 1_317_449_338_256_001],
        data: texts(r#"{"owner": "Zoë"}{}"#, [17, 19]),
        metadata: texts(r#"{"case": "7"}{}"#, [13, 15]),
        causation_ids: texts("c-1", [3, 3]),
        correlation_ids: texts("k-2", [0, 3]),
        tags: vec![vec!["new".to_owned(), "zoë".to_owned()], vec![]],
    }
}

/// A projector that shows what its handlers get.
fn collecting() -> (Projector, Rc<RefCell<Vec<Message>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let collect = seen.clone();
    let projector = Projector::new("accounts_1")
        .on_any(move |message: Message| collect.borrow_mut().push(message));
    (projector, seen)
}

#[test]
fn handlers_cannot_tell_them_apart() {
    let (projector, alone) = collecting();
    projector.handle(one_by_one()).expect("nothing fails");
    let (projector, together) = collecting();
    projector
        .handle_chunk(part_by_part())
        .expect("nothing fails");
    assert_eq!(*alone.borrow(), *together.borrow());
    let together = together.borrow();
    assert_eq!(together.len(), 2);
    assert_eq!(
        together[0].payload(),
        PayloadRef::Json(r#"{"owner": "Zoë"}"#)
    );
    assert_eq!(together[1].causation_id(), None);
    assert_eq!(together[1].correlation_id(), Some("k-2"));
    assert_ne!(together[0], together[1]);
}

#[test]
fn a_part_that_nobody_looks_at_is_empty() {
    let (projector, seen) = collecting();
    let none = || Texts {
        text: String::new(),
        ends: vec![],
    };
    let chunk = Chunk {
        ids: none(),
        streams: none(),
        versions: vec![],
        recorded_at: vec![],
        data: none(),
        metadata: none(),
        causation_ids: none(),
        correlation_ids: none(),
        tags: vec![],
        ..part_by_part()
    };
    projector.handle_chunk(chunk).expect("nothing fails");
    let seen = seen.borrow();
    let last = &seen[1];
    assert_eq!((last.position(), last.event_type()), (9, "Closed"));
    assert_eq!((last.id(), last.stream(), last.version()), ("", "", 0));
    assert_eq!(last.payload(), PayloadRef::Json(""));
    assert!(last.causation_id().is_none() && last.tags().is_empty());
}

#[test]
fn the_events_before_the_failing_one_are_counted() {
    let projector =
        Projector::new("accounts_1").on("Closed", || -> Result { Err(Failure::skip("too odd")) });
    let failure = projector
        .handle_chunk(part_by_part())
        .expect_err("the second event fails");
    assert_eq!((failure.handled, failure.verdict), (1, Verdict::Skip));
}
