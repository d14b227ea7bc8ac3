//! No sin but slowness: busy for about `delay-ms` milliseconds (a setting; 0 without it) per event, and keeps a row per
//! event and a running count, through buffered rows. Made for hosts that are killed in the middle of a batch.

use projectionist_sdk::prelude::*;

/// One row per event. `n` is what the counter said then.
#[derive(Table)]
#[table(name = "handled")]
struct Handled {
    #[key]
    position: i64,
    n: i64,
}

#[derive(Table, Default)]
#[table(name = "counter")]
struct Counter {
    #[key]
    name: String,
    n: i64,
}

fn projector() -> Projector {
    Projector::new("slow_1")
        .table::<Handled>()
        .table::<Counter>()
        .on_any(handle)
}

fn handle(
    position: Position,
    config: Config,
    handled: Table<Handled>,
    counters: Table<Counter>,
) -> Result {
    test_guests::busy_for_ms(config.parse_or("delay-ms", 0)?);
    let n = counters.change("events", |counter| {
        counter.n += 1;
        counter.n
    })?;
    handled.put(&Handled {
        position: i64::try_from(position.0)?,
        n,
    })
}

export_projector!(projector);
