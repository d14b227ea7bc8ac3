//! Sin: fails at a `Poison` as often as its data asks for, `{"until_attempt": 4, "silent_at"?: 2}`, after its row was
//! written, and counts the attempts in the retry context. At the attempt `silent_at` it panics without a word. When it is
//! through, the row's `code` says what it counted.

use projectionist_sdk::prelude::*;
use serde::Deserialize;
use test_guests::{POISON, create_seen, record};

#[derive(Deserialize)]
struct Poison {
    until_attempt: u32,
    silent_at: Option<u32>,
}

fn projector() -> Projector {
    Projector::new("counts_attempts_1")
        .setup(create_seen)
        .on(POISON, count)
        .on("Tick", |message: Message, context: Context, sql: Sql| {
            let left_over = context.retry_context().unwrap_or("a".to_owned());
            record(&message, &sql, &left_over)
        })
}

fn count(event: Event<Poison>, message: Message, context: Context, sql: Sql) -> Result {
    let attempt = context.attempt();
    let earlier = context.retry_context().unwrap_or_default();
    record(&message, &sql, &format!("{earlier}{attempt}"))?;
    assert!(event.silent_at != Some(attempt), "without a word");
    if attempt >= event.until_attempt {
        return Ok(());
    }
    context.set_retry_context(&format!("{earlier}{attempt},"));
    Err(Failure::retry(0, format!("not at attempt {attempt}")))
}

export_projector!(projector);
