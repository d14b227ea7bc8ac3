//! Sin: answers one event with events without end.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("appends_without_end").on("Command", sin)
}

fn sin(append: Append) -> Result {
    loop {
        append.to("endless").event("Done", &()).send()?;
    }
}

export_processor!(processor);
