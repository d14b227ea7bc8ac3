//! Sin or not, as it is set: sends HTTP requests for every event, and keeps the answers.

use projectionist_sdk::prelude::*;
use test_guests::calls_out::{call_out, create_answers};

fn processor() -> Processor {
    Processor::new("calls_out")
        .setup(create_answers)
        .on_any(call_out)
}

export_processor!(processor);
