//! Sins of size: memory, tables, calls, parameters, answers, rows, logs.

use super::arena::{NARROW, fails};

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
