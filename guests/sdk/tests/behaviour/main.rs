//! What the SDK promises, as far as it shows without a host.

mod arguments;
mod chunks;
mod descriptors;
mod failures;
mod tables;

use projectionist_sdk::bindings::projectionist::events::types::{Event, Payload};
use std::cell::RefCell;
use std::rc::Rc;

/// An event at `position` with a fixed rest.
fn event(position: u64, event_type: &str, data: &str) -> Event {
    Event {
        position,
        id: format!("00000000-0000-0000-0000-{position:012}"),
        stream: "account-7".to_owned(),
        version: position,
        type_: event_type.to_owned(),
        recorded_at: 1_317_449_338_256_000,
        data: Payload::Json(data.to_owned()),
        metadata: r#"{"case": "7"}"#.to_owned(),
        causation_id: None,
        correlation_id: None,
        tags: Vec::new(),
    }
}

/// Lines that handlers leave for the test.
#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<String>>>);

impl Lines {
    fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}
