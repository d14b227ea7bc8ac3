//! Sin: never comes back from `setup`.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("loops_in_setup_1").setup(sin).on_any(|| ())
}

fn sin() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

export_projector!(projector);
