//! No sin: waits for an event that never happens. Tests make more of it by other letters in its id.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("waits_aa_1").on("NeverHappens", |_: Message| {})
}

export_projector!(projector);
