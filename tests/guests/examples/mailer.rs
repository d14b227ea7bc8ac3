//! No sin: answers every `Command` with `Done`, and keeps which ones it has seen. Tests change the number of its id in the module.

use projectionist_sdk::prelude::*;
use std::hint::black_box;

const ID: &str = "mailer_101";

fn processor() -> Processor {
    Processor::new(black_box(ID))
        .setup(test_guests::create_answered)
        .on("Command", test_guests::answer_and_note)
}

export_processor!(processor);
