//! Sin: a failure whose message has 8 MB, with what a terminal would obey and what PostgreSQL cannot hold.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("fails_loudly_1").on_any(sin)
}

fn sin() -> Result {
    let mut failure = Failure::retry(0, format!("\x1b[2J\0{}", "x".repeat(8_000_000)));
    for number in 0..1_000 {
        failure = failure.detail(format!("detail\x1b[31m{number}"), "y".repeat(1_000));
    }
    Err(failure)
}

export_projector!(projector);
