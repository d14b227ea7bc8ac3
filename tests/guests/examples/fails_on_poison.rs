//! Sin: records every event, but fails at one of the type `Poison`, after its row was written, with the verdict that the
//! event's data asks for: `{"verdict": "retry" | "skip" | "stop", "delay_ms"?: 5, "until_attempt"?: 3}`. It is well again
//! from the attempt `until_attempt` on.

use projectionist_sdk::prelude::*;
use serde::Deserialize;
use test_guests::{POISON, create_seen, record};

#[derive(Deserialize)]
struct Poison {
    verdict: String,
    #[serde(default)]
    delay_ms: u32,
    until_attempt: Option<u32>,
}

fn projector() -> Projector {
    Projector::new("fails_on_poison_1")
        .setup(create_seen)
        .on_any(see)
        .on(POISON, fail)
}

fn see(message: Message, sql: Sql) -> Result {
    record(&message, &sql, "a")
}

fn fail(event: Event<Poison>, message: Message, sql: Sql, context: Context) -> Result {
    let attempt = context.attempt();
    if event.until_attempt.is_some_and(|well| attempt >= well) {
        return Ok(());
    }
    record(&message, &sql, "poison")?;
    let text = format!("poison at position {}", message.position());
    let failure = match event.verdict.as_str() {
        "retry" => Failure::retry(event.delay_ms, text),
        "skip" => Failure::skip(text),
        _ => Failure::stop(text),
    };
    Err(failure.detail("attempt", attempt))
}

export_projector!(projector);
