//! No sin: answers every `Command`, from the beginning; while its setting `broken` is true it wants each to be skipped instead.

use projectionist_sdk::prelude::*;

fn processor() -> Processor {
    Processor::new("skips_when_broken")
        .run_mode(RunMode::FromBeginning)
        .on("Command", answer)
}

fn answer(command: Message, append: Append, config: Config) -> Result {
    if config.parse_or("broken", false)? {
        return Err(Failure::skip("nobody to ask"));
    }
    test_guests::answer(command, append)
}

export_processor!(processor);
