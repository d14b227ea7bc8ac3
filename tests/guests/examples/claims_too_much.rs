//! Sin: says that it handled more events than it was given, and fails.

use projectionist_sdk::bindings::exports::projectionist::guest::{
    batch, chunk_handler, description, handler, lifecycle, recovery,
};
use projectionist_sdk::bindings::projectionist::events::types::{Chunk, Event};
use projectionist_sdk::bindings::projectionist::guest::types::{Descriptor, Failure, Verdict};
use projectionist_sdk::prelude::Projector;

#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "it is exported where it is a component")
)]
struct Component;

impl description::Guest for Component {
    fn describe() -> Descriptor {
        Projector::new("claims_too_much_1").on_any(|| ()).describe()
    }
}

impl handler::Guest for Component {
    fn handle(_: Vec<Event>) -> Result<(), Failure> {
        Err(Failure {
            handled: u32::MAX,
            verdict: Verdict::Skip,
            message: "handled more than there is".to_owned(),
            details: Vec::new(),
        })
    }
}

impl chunk_handler::Guest for Component {
    fn handle_chunk(_: Chunk) -> Result<(), Failure> {
        <Component as handler::Guest>::handle(Vec::new())
    }
}

impl batch::Guest for Component {
    fn finish() -> Result<(), Failure> {
        Ok(())
    }
}

impl recovery::Guest for Component {
    fn on_failure(_: Event, _: String, _: u32) -> Verdict {
        Verdict::Skip
    }
}

impl lifecycle::Guest for Component {
    fn setup() -> Result<(), String> {
        Ok(())
    }

    fn teardown() -> Result<(), String> {
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
projectionist_sdk::bindings::export_component!(Component with_types_in projectionist_sdk::bindings);
