//! Sin: asks for randomness, which a projector may not have.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("throws_dice_1").on_any(sin)
}

fn sin() -> Result {
    let mut byte = 0_u8;
    // SAFETY: it writes one byte, and there is room for one.
    let failed = unsafe { getentropy(&raw mut byte, 1) };
    Err(Failure::stop(format!("threw {byte}, answer {failed}")))
}

unsafe extern "C" {
    fn getentropy(buffer: *mut u8, length: usize) -> i32;
}

export_projector!(projector);
