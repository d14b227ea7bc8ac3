//! Sin: never says what it is.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

export_projector!(projector);
