//! No sin: records every event in `seen`, one row each; `code` is `a`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    test_guests::recorder("records_1", "a")
}

export_projector!(projector);
