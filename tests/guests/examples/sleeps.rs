//! Sin: waits for an hour.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("sleeps_1").on_any(sin)
}

fn sin() {
    std::thread::sleep(std::time::Duration::from_secs(3_600));
}

export_projector!(projector);
