//! Sin: sends an HTTP request before there is any event.

use projectionist_sdk::prelude::*;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

fn processor() -> Processor {
    Processor::new("calls_out_in_setup")
        .setup(call_out)
        .on_any(|_: Message| ())
}

fn call_out(config: Config) -> Result {
    let host = config.get("host").unwrap_or_default();
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&Scheme::Http));
    let set = set.and_then(|()| request.set_authority(Some(&host)));
    let set = set.and_then(|()| request.set_path_with_query(Some("/")));
    set.map_err(|()| Failure::stop(format!("`{host}` is no host")))?;
    let answering = outgoing_handler::handle(request, None)?;
    answering.subscribe().block();
    if let Some(Ok(answered)) = answering.get() {
        answered?;
    }
    Ok(())
}

export_processor!(processor);
