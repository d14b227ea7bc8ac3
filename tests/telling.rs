//! What is kept of a failure and how people read it.

use projectionist::store::LaneError;
use serde_json::{Value, json};
use subscription::ErrorClass;

use crate::support::command::shown;
use crate::support::log::event;
use crate::support::{Modules, TestDatabase, stepped};

const ID: &str = "fails_at_length_1";

/// The error of a guest that fails at so much length.
async fn failed(data: Value) -> (TestDatabase, LaneError) {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["fails_at_length"]),
    );
    database.append("s", &[event("Poison", &data)]).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    let error = database.error(ID).await.expect("an error");
    (database, error)
}

/// The lines of a text, without what differs from one run or machine to the next.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

#[tokio::test]
async fn a_long_message_comes_back_whole() {
    let (_database, error) = failed(json!({"message_kib": 100})).await;

    assert_eq!(error.class, ErrorClass::GuestFailed);
    let text = "tell ".repeat(100 * 1024 / 5);
    assert_eq!(error.message, format!("in short: {text}the end"));
}

#[tokio::test]
async fn a_message_beyond_its_limit_keeps_its_beginning_and_its_end() {
    let (_database, error) = failed(json!({"message_kib": 1024})).await;

    let limit = projectionist::store::MAX_ERROR_MESSAGE_BYTES;
    assert!(
        (limit..limit + 100).contains(&error.message.len()),
        "{}",
        error.message.len()
    );
    assert!(error.message.starts_with("in short: tell "));
    assert!(error.message.ends_with("tell the end"));
    assert!(error.message.contains(" bytes are left out …\n"));
}

#[tokio::test]
async fn a_deep_backtrace_and_much_output_come_back_within_their_limits() {
    let (_database, error) = failed(json!({"depth": 500, "output_kib": 200})).await;

    assert_eq!((error.class, error.position), (ErrorClass::Trap, Some(1)));
    assert!(error.message.ends_with(": the bottom"), "{}", error.message);
    let backtrace = error.backtrace.expect("a backtrace");
    let descents = backtrace.matches("fails_at_length::descend").count();
    assert!(descents > 5, "{backtrace}");
    assert!(backtrace.len() < 64 * 1024, "{} bytes", backtrace.len());
    let output = error.output.expect("output");
    assert!(output.len() < 17 * 1024, "{} bytes", output.len());
    assert!(output.starts_with("ooo") && output.contains("bytes are left out"));
    assert!(
        output.contains("the bottom"),
        "the panic is told at the end"
    );
    assert_eq!(error.event_type.as_deref(), Some("Poison"));
    assert!(error.module.iter().any(|byte| *byte != 0));
}

#[tokio::test]
async fn status_shows_the_beginning_of_much_and_says_where_the_rest_is() {
    let (database, _) = failed(json!({"message_kib": 100})).await;

    let seen = shown(&database, &["status"]).await;
    assert!(seen.len() < 8 * 1024, "{} bytes", seen.len());
    let told = lines(&seen);
    let at = told
        .iter()
        .position(|line| line.starts_with("errors"))
        .expect("errors");
    let short: Vec<String> = told[at..]
        .iter()
        .map(|line| line.chars().take(120).collect())
        .collect();
    insta::with_settings!({filters => vec![(r"\d+ (s|min) ago", "N s ago"), (r"(?s)\n\nhosts.*", "")]}, {
        insta::assert_snapshot!(short.join("\n"));
    });
    let whole = shown(&database, &["status", "--json"]).await;
    assert!(whole.len() > 100 * 1024, "{} bytes", whole.len());
}
