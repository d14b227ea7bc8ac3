//! No sin: a processor that counts commands in one row that it keeps in hand; while its setting `broken` is true it wants each of
//! them to be skipped instead.

use projectionist_sdk::prelude::*;

#[derive(Table, Default)]
#[table(name = "tally")]
struct Tally {
    #[key]
    name: String,
    commands: i64,
}

fn processor() -> Processor {
    Processor::new("tallies_commands")
        .run_mode(RunMode::FromBeginning)
        .table::<Tally>()
        .on("Command", count)
}

fn count(tallies: Table<Tally>, config: Config) -> Result {
    if config.parse_or("broken", false)? {
        return Err(Failure::skip("nobody to ask"));
    }
    tallies.change("all", |tally| tally.commands += 1)
}

export_processor!(processor);
