//! No sin: a processor that goes through history first, and records of each event whether it was told that it is live.

use projectionist_sdk::prelude::*;
use test_guests::{create_seen, record};

fn processor() -> Processor {
    Processor::new("tells_live")
        .run_mode(RunMode::FromBeginning)
        .setup(create_seen)
        .on_any(|message: Message, context: Context, sql: Sql| {
            let code = if context.live() { "live" } else { "history" };
            record(&message, &sql, code)
        })
}

export_processor!(processor);
