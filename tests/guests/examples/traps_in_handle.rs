//! Sin: panics at an event of the type `Poison`. It has no tables, no setup and no SQL.

use projectionist_sdk::prelude::*;
use test_guests::POISON;

fn projector() -> Projector {
    Projector::new("traps_in_handle_1").on_any(fall)
}

fn fall(message: Message) {
    assert!(
        message.event_type() != POISON,
        "fell at position {}",
        message.position()
    );
}

export_projector!(projector);
