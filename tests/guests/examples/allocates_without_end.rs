//! Sin: asks for memory until there is no more.

use projectionist_sdk::prelude::*;

const PIECE_BYTES: usize = 1 << 20;

fn projector() -> Projector {
    Projector::new("allocates_without_end_1").on_any(grow)
}

fn grow() {
    let mut pieces = Vec::new();
    loop {
        pieces.push(std::hint::black_box(vec![1_u8; PIECE_BYTES]));
    }
}

export_projector!(projector);
