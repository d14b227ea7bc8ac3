//! Sin: panics at every event.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("panics_1").on_any(sin)
}

fn sin() {
    panic!("nobody expected this");
}

export_projector!(projector);
