//! No sin: answers every `Command` with `Done` in the stream `done-<stream>`, from now on.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("appends").on("Command", test_guests::answer)
}

export_processor!(processor);
