//! Sin: a line in the log, again and again, until its time is up.

use projectionist_sdk::log;
use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("floods_the_log_1").on_any(sin)
}

fn sin() {
    loop {
        log::warn!(["field" => "y".repeat(100_000)], "{}", "x".repeat(100_000));
    }
}

export_projector!(projector);
