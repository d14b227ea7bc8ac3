//! Sin: sends `times` HTTP requests to `host` at once, waiting for none, and only then for all of them.

use projectionist_sdk::prelude::*;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

fn processor() -> Processor {
    Processor::new("calls_out_at_once").on_any(call_out)
}

fn call_out(_: Message, config: Config) -> Result {
    let host = config.get("host").unwrap_or_default();
    let mut waiting = Vec::new();
    for _ in 0..config.parse_or("times", 20)? {
        let request = OutgoingRequest::new(Fields::new());
        let set = request.set_scheme(Some(&Scheme::Http));
        let set = set.and_then(|()| request.set_authority(Some(&host)));
        let set = set.and_then(|()| request.set_path_with_query(Some("/")));
        set.map_err(|()| Failure::stop(format!("`{host}` is no host")))?;
        waiting.push(outgoing_handler::handle(request, None)?);
    }
    for answering in waiting {
        answering.subscribe().block();
        if let Some(Ok(answered)) = answering.get() {
            answered?;
        }
    }
    Ok(())
}

export_processor!(processor);
