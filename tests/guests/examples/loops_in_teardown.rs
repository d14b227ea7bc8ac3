//! Sin: never comes back from `teardown`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("loops_in_teardown_1")
        .teardown(sin)
        .on_any(|| ())
}

fn sin() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

export_projector!(projector);
