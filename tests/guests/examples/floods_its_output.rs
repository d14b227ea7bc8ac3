//! Sin: writes to its standard output until its time is up.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("floods_its_output_1").on_any(sin)
}

fn sin() {
    loop {
        println!("{}", "x".repeat(10_000));
    }
}

export_projector!(projector);
