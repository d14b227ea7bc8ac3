//! Sin: a descriptor of many megabytes.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    let mut projector = Projector::new("describes_at_length_1");
    for number in 0..100_000 {
        projector = projector.on(format!("Type{number}-{}", "x".repeat(100)), || ());
    }
    projector
}

export_projector!(projector);
