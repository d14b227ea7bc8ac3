//! Sin: a projector that sends HTTP requests.

use projectionist_sdk::prelude::*;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest};

fn projector() -> Projector {
    Projector::new("calls_out_1").on_any(call_out)
}

fn call_out(_: Message) -> Result {
    outgoing_handler::handle(OutgoingRequest::new(Fields::new()), None)?;
    Ok(())
}

export_projector!(projector);
