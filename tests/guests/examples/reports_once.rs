//! No sin: a report that is made once: it records every event, and says in the log how many it has seen so far.

use projectionist_sdk::log::{info, warn};
use projectionist_sdk::prelude::*;
use test_guests::{create_seen, record};

fn projector() -> Projector {
    Projector::new("reports_once_1")
        .run_mode(RunMode::Once)
        .max_chunk(10)
        .setup(create_seen)
        .on_any(|message: Message, sql: Sql, seen: Fold<u64>| {
            *seen.get() += 1;
            record(&message, &sql, "a")
        })
        .after_chunk(|seen: Fold<u64>| {
            let seen = seen.take();
            if seen < 10 {
                warn!("a chunk of no more than {seen}");
            }
            info!(["events" => seen], "reported");
        })
}

export_projector!(projector);
