//! No sin: `traps_on_poison` with the bug mended; `code` is `b`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    test_guests::recorder("traps_on_poison_1", "b")
}

export_projector!(projector);
