//! Sins of size: memory, tables, calls, parameters, answers, rows, logs.

use projectionist::store::{LaneError, NewEvent};

use super::arena::{Arena, NARROW, VICTIM, fails};
use crate::support::log::event;

/// Time enough to use up what is counted, and little to use up.
const COUNTED: &str = "[limits]\nhandle-timeout-ms = 20000\nmemory-mib = 256\nhost-calls = 50000\nsent-mib = 16\nreceived-mib = 16\nappended-events = 100\n[retry]\nattempts = 0\n";

#[tokio::test]
async fn a_memory_bomb_meets_its_limit() {
    let id = "allocates_without_end_1";
    let words = ["memory-mib", "64 MiB"];
    fails("allocates_without_end", id, NARROW, "memory", &words).await;
}

#[tokio::test]
async fn a_flood_of_host_calls_meets_its_limit() {
    let words = ["host-calls", "50000 calls"];
    fails(
        "floods_the_host",
        "floods_the_host_1",
        COUNTED,
        "trap",
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_huge_parameter_is_not_taken_over() {
    let id = "sends_a_huge_parameter_1";
    let words = ["host-call-mib", "64 MiB"];
    fails("sends_a_huge_parameter", id, COUNTED, "trap", &words).await;
}

#[tokio::test]
async fn parameters_without_end_meet_their_limit() {
    let words = ["sent-mib", "16 MiB"];
    fails(
        "sends_without_end",
        "sends_without_end_1",
        COUNTED,
        "trap",
        &words,
    )
    .await;
}

#[tokio::test]
async fn rows_without_end_meet_their_limit() {
    let words = ["sent-mib", "16 MiB"];
    fails(
        "writes_without_end",
        "writes_without_end_1",
        COUNTED,
        "trap",
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_huge_answer_is_not_handed_over() {
    let id = "asks_for_a_huge_result_1";
    let words = ["query-bytes", "33554432"];
    fails("asks_for_a_huge_result", id, COUNTED, "sql", &words).await;
}

#[tokio::test]
async fn a_million_rows_are_not_handed_over() {
    let id = "asks_for_a_million_rows_1";
    let words = ["query-rows", "100000"];
    fails("asks_for_a_million_rows", id, COUNTED, "sql", &words).await;
}

/// The guest that uses up what it is told to, until it meets the limit with these words.
async fn uses_up(what: &str, class: &str, words: &[&str]) -> LaneError {
    let mut arena = Arena::open().await;
    append_earlier(&arena, "large", 20, 1 << 20).await;
    let settings = format!("{COUNTED}[settings]\nwhat = {what:?}\n")
        .replace("[limits]", "[limits]\nstatements = 500");
    let error = used_up(&mut arena, &settings, class, words).await;
    assert_eq!(arena.events_by_type().await, ["Earlier", "Sin", "Tick"]);
    let sin = format!("uses up {what}");
    arena.unharmed(&sin, words.first().unwrap_or(&class)).await;
    error
}

async fn used_up(arena: &mut Arena, settings: &str, class: &str, words: &[&str]) -> LaneError {
    arena.database.append("sins", &[NewEvent::new("Sin")]).await;
    let error = arena.sin("uses_up", "uses_up_1", settings).await.failed();
    assert_eq!(error.class.as_str(), class, "{}", error.message);
    for word in words {
        assert!(
            error.message.contains(word),
            "{word:?} is not in: {}",
            error.message
        );
    }
    error
}

/// Appends a stream of events of this size.
async fn append_earlier(arena: &Arena, stream: &str, count: usize, bytes: usize) {
    let data = serde_json::json!({"x": "x".repeat(bytes)});
    let events = vec![event("Earlier", &data); count];
    for chunk in events.chunks(1_000) {
        arena.database.append(stream, chunk).await;
    }
    // The victim has them behind it before anybody looks at its pace.
    arena.database.until_all_seen_once(VICTIM).await;
}

#[tokio::test]
async fn statements_without_end_meet_their_limit() {
    let words = ["statements", "500 statements"];
    uses_up("statements", "trap", &words).await;
}

#[tokio::test]
async fn each_list_of_execute_many_is_a_statement() {
    let words = ["statements", "500 statements"];
    uses_up("statements by many", "trap", &words).await;
}

#[tokio::test]
async fn answers_without_end_meet_their_limit() {
    let words = ["received-mib", "16 MiB"];
    uses_up("answers", "trap", &words).await;
}

#[tokio::test]
async fn earlier_events_without_end_meet_their_limit() {
    let words = ["received-mib", "16 MiB"];
    uses_up("earlier events", "trap", &words).await;
}

#[tokio::test]
async fn timers_without_end_meet_their_limit() {
    let words = ["resources", "1000 resources"];
    uses_up("timers", "trap", &words).await;
}

#[tokio::test]
async fn a_statement_that_is_too_long_is_not_parsed() {
    let words = ["statement-bytes", "65536"];
    uses_up("a statement", "sql", &words).await;
}

#[tokio::test]
async fn a_retry_context_that_is_too_long_is_not_kept() {
    let words = ["retry-context-bytes", "4096 bytes"];
    let error = uses_up("the retry context", "trap", &words).await;
    assert_eq!(error.retry_context, None);
}

/// `read-events` and `read-bytes`: an answer has so much of a stream, and not the rest.
#[tokio::test]
async fn an_answer_of_the_reader_is_cut() {
    let mut arena = Arena::open().await;
    append_earlier(&arena, "many", 10_001, 1).await;
    append_earlier(&arena, "large", 20, 1 << 20).await;
    let settings = "[settings]\nwhat = 'the reader'\n[retry]\nattempts = 0\n";
    let words = ["10000 of many, 16 of large"];
    used_up(&mut arena, settings, "guest-failed", &words).await;
    arena
        .unharmed("uses up the reader", "read-events, read-bytes")
        .await;
}
