//! Sin: fails at a `Poison` with as much text as its data asks for: `{"message_kib": 100}` in its own words, or
//! `{"depth": 500, "output_kib": 100}` in a panic so many calls deep, after it has written to its standard error.

use projectionist_sdk::prelude::*;
use serde::Deserialize;
use test_guests::POISON;

#[derive(Deserialize)]
struct Poison {
    message_kib: Option<usize>,
    #[serde(default)]
    depth: u32,
    #[serde(default)]
    output_kib: usize,
}

fn projector() -> Projector {
    Projector::new("fails_at_length_1").on(POISON, fail)
}

fn fail(event: Event<Poison>) -> Result {
    if let Some(kib) = event.message_kib {
        return Err(Failure::stop(format!(
            "in short: {}the end",
            "tell ".repeat(kib * 1024 / 5)
        )));
    }
    for _ in 0..event.output_kib {
        eprintln!("{}", "o".repeat(1023));
    }
    let reached = descend(event.depth);
    Err(Failure::stop(format!("reached {reached}")))
}

#[inline(never)]
fn descend(depth: u32) -> u32 {
    assert!(depth > 0, "the bottom");
    std::hint::black_box(descend(std::hint::black_box(depth - 1))) + 1
}

export_projector!(projector);
