//! No sin: the next version of `records`; `code` is `c`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    test_guests::recorder("records_2", "c")
}

export_projector!(projector);
