//! Sin: records every event, but panics at one of the type `Poison`, after its row was written.

use projectionist_sdk::prelude::*;
use test_guests::{POISON, create_seen, record};

fn projector() -> Projector {
    Projector::new("traps_on_poison_1")
        .setup(create_seen)
        .on_any(fall)
}

fn fall(message: Message, sql: Sql) -> Result {
    record(&message, &sql, "a")?;
    assert!(
        message.event_type() != POISON,
        "fell at position {}",
        message.position()
    );
    Ok(())
}

export_projector!(projector);
