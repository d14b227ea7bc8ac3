//! No sin: `appends` under an id of its own, from the beginning of the log.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("appends_from_beginning")
        .run_mode(RunMode::FromBeginning)
        .on("Command", test_guests::answer)
}

export_processor!(processor);
