//! No sin: `mailer` with the option to rebuild its state from history, without effects, before it takes over.

use projectionist_sdk::prelude::*;
use std::hint::black_box;

const ID: &str = "mailer_101";

fn processor() -> Processor {
    Processor::new(black_box(ID))
        .option("rebuild-state", true)
        .setup(test_guests::create_answered)
        .on("Command", test_guests::answer_and_note)
}

export_processor!(processor);
