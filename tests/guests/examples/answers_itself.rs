//! Sin: appends an event for every event, those of its own included, so that it is never through. Writers wait for it.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("answers_itself")
        .run_mode(RunMode::FromBeginning)
        .strong()
        .on_any(test_guests::answer)
}

export_processor!(processor);
