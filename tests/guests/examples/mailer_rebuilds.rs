//! No sin: `mailer` with the option to rebuild its state from history, without effects, before it takes over; it stops at `Poison`.

use projectionist_sdk::prelude::*;
use std::hint::black_box;

const ID: &str = "mailer_101";

fn processor() -> Processor {
    Processor::new(black_box(ID))
        .option("rebuild-state", true)
        .setup(test_guests::create_answered)
        .on("Command", test_guests::answer_and_note)
        .on(test_guests::POISON, |_: Message| -> Result {
            Err(Failure::stop("this version cannot deal with it"))
        })
}

export_processor!(processor);
