//! Sin: records every event, but breaks down at one of the type `Poison`, after its row was written, in the way that the
//! event's data asks for, and decides what becomes of it as the data says: `{"sin"?: "panic" | "loop" | "allocate" |
//! "twice", "verdict": "retry" | "skip" | "stop" | "policy" | "panic" | "loop" | "sql" | "rows" | "append",
//! "delay_ms"?: 5, "until_attempt"?: 3}`. It is well again from the attempt `until_attempt` on.

use projectionist_sdk::bindings::projectionist::append::writer::{ExpectedVersion, append};
use projectionist_sdk::bindings::projectionist::rows::tables;
use projectionist_sdk::bindings::projectionist::sql::client;
use projectionist_sdk::prelude::*;
use serde::Deserialize;
use test_guests::{POISON, create_seen, record};

#[derive(Deserialize)]
struct Poison {
    #[serde(default)]
    sin: String,
    verdict: String,
    #[serde(default)]
    delay_ms: u32,
    until_attempt: Option<u32>,
}

fn processor() -> Processor {
    Processor::new("recovers_on_poison")
        .run_mode(RunMode::FromBeginning)
        .setup(create_seen)
        .on("Tick", |message: Message, sql: Sql| {
            record(&message, &sql, "a")
        })
        .on(POISON, break_down)
        .on_failure(decide)
}

fn break_down(event: Event<Poison>, message: Message, context: Context, sql: Sql) -> Result {
    let attempt = context.attempt();
    record(&message, &sql, "poison")?;
    if event.until_attempt.is_some_and(|well| attempt >= well) {
        return Ok(());
    }
    context.set_retry_context(&format!("left by attempt {attempt}"));
    match event.sin.as_str() {
        "loop" => spin(),
        "allocate" => allocate(),
        "twice" => {
            // The database refuses the second, and the guest goes on as if nothing had been.
            let _ = record(&message, &sql, "twice");
            Ok(())
        }
        _ => panic!("broke down at attempt {attempt}"),
    }
}

fn decide(attempt: FailedAttempt, event: Event<Poison>, context: Context) -> Verdict {
    let found = context.retry_context().unwrap_or_default();
    let (number, told) = (attempt.number(), context.attempt());
    context.set_retry_context(&format!(
        "{found}, decided at {number} of {told}: {}",
        attempt.error().len() > 10
    ));
    match event.verdict.as_str() {
        "retry" => Verdict::Retry(event.delay_ms),
        "skip" => Verdict::Skip,
        "stop" => Verdict::Stop,
        "policy" => Verdict::Retry(0),
        "sql" => {
            let _ = client::execute("DELETE FROM seen", &[]);
            Verdict::Skip
        }
        "rows" => {
            let _ = tables::delete("seen", &[]);
            Verdict::Skip
        }
        "append" => {
            let _ = append(1, "forged", ExpectedVersion::Any, &[]);
            Verdict::Skip
        }
        "loop" => spin(),
        _ => panic!("cannot decide either"),
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn allocate() -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

export_processor!(processor);
