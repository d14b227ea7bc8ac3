//! Sin: appends, and says that it looks at no ids of events, from which those of its own are to follow.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("appends_without_ids")
        .run_mode(RunMode::FromBeginning)
        .option("event-parts", "data")
        .on("Command", test_guests::answer)
}

export_processor!(processor);
