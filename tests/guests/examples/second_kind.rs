//! Sin: a processor under the id of the projector `records`.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("records_1").on_any(|| ())
}

export_processor!(processor);
