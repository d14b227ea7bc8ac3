//! No sin of its own: a processor that does what its script and the events tell, see `obeys` in the library.

use projectionist_sdk::prelude::*;

const SCRIPT: &str =
    "script id=answers_aa mode=now______ filter=every code=a setup=good teardown=good .";

fn processor() -> Processor {
    test_guests::obeys::processor(SCRIPT)
}

export_processor!(processor);
