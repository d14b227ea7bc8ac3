//! Sin: calls itself until there is no more stack.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("recurses_without_end_1").on_any(sin)
}

fn sin() {
    assert_ne!(deeper(1), 7);
}

/// Nothing of it is kept in memory, so that only the stack of WebAssembly itself grows.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the sin")]
fn deeper(depth: u64) -> u64 {
    deeper(depth.wrapping_mul(3))
        .rotate_left(7)
        .wrapping_add(depth)
}

export_projector!(projector);
