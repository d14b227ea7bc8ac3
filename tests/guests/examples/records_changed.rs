//! No sin: `records` with the same id and other bytes; `code` is `b`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    test_guests::recorder("records_1", "b")
}

export_projector!(projector);
