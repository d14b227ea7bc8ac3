//! No sin: `mailer` from the beginning of the log, wherever a version before it stopped, if its settings say so.

use projectionist_sdk::prelude::*;
use std::hint::black_box;

const ID: &str = "mailer_101";

fn processor() -> Processor {
    Processor::new(black_box(ID))
        .run_mode(RunMode::FromBeginning)
        .setup(test_guests::create_answered)
        .on("Command", test_guests::answer_and_note)
}

export_processor!(processor);
