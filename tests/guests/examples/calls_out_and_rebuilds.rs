//! No sin: a version of `mailer` that sends HTTP requests, and that first goes through history without effects.

use projectionist_sdk::prelude::*;
use std::hint::black_box;
use test_guests::calls_out::{call_out, create_answers};

const ID: &str = "mailer_101";

fn processor() -> Processor {
    Processor::new(black_box(ID))
        .option("rebuild-state", true)
        .setup(create_answers)
        .on("Command", call_out)
}

export_processor!(processor);
