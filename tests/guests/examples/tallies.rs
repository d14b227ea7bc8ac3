//! No sin: counts in one row what it sees. The benchmark makes many of it by other letters in its id.

use projectionist_sdk::prelude::*;

#[derive(Table, Default)]
#[table(name = "tally")]
struct Tally {
    #[key]
    event_type: String,
    events: i64,
    last_position: i64,
}

fn projector() -> Projector {
    Projector::new("tallies_aa_1")
        .table::<Tally>()
        .on("Happened", counted)
}

fn counted(message: Message, tallies: Table<Tally>) -> Result {
    let position = i64::try_from(message.position())?;
    tallies.change(message.event_type(), |tally| {
        tally.events += 1;
        tally.last_position = position;
    })
}

export_projector!(projector);
