//! Sin: never comes back from `handle`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("loops_in_handle_1").on_any(spin)
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

export_projector!(projector);
