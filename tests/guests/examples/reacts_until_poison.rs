//! Sin: a processor that takes many events at a time and answers commands, but panics at a `Poison`.

use projectionist_sdk::prelude::*;
use test_guests::{POISON, answer};

fn processor() -> Processor {
    Processor::new("reacts_until_poison")
        .run_mode(RunMode::FromBeginning)
        .max_chunk(50)
        .on("Command", answer)
        .on(POISON, |message: Message| -> Result {
            panic!("fell at position {}", message.position())
        })
}

export_processor!(processor);
