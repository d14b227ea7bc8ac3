//! No sin of its own: a projector that does what its script and the events tell, see `obeys` in the library.

use projectionist_sdk::prelude::*;

const SCRIPT: &str =
    "script id=obeys_aa_1 mode=beginning filter=every code=a setup=good teardown=good .";

fn projector() -> Projector {
    test_guests::obeys::projector(SCRIPT)
}

export_projector!(projector);
