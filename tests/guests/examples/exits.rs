//! Sin: ends the process that it believes to be its own.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("exits_1").on_any(sin)
}

fn sin() {
    std::process::exit(0);
}

export_projector!(projector);
