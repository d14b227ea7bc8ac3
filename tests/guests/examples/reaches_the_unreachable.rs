//! Sin: does what the compiler was promised would never happen.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("reaches_the_unreachable_1").on_any(sin)
}

fn sin() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
}

export_projector!(projector);
