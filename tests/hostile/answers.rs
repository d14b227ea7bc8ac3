//! Sins of what is said: logs, output, failures, counts, appends.

use projectionist::store::NewEvent;
use uuid::Uuid;

use super::arena::{Arena, NARROW, SHORT, fails};
use crate::support::command::{projectionist, shown};
use crate::support::log::column;
use crate::support::{PATIENCE, TestDatabase, eventually};

/// What is kept of a message, as host/LIMITS.md says.
const MESSAGE_BYTES: usize = 262_144;

/// More than any host in these tests has to say of its own.
const LONG_LOG_BYTES: usize = 8 << 20;

/// What a terminal would obey.
fn is_obeyed(character: char) -> bool {
    (character.is_control() && character != '\n' && character != '\t') || character == '\u{202e}'
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let mut arena = Arena::open().await;
    let settings = SHORT.replace("[limits]", "[limits]\nlog-lines = 5");
    let error = arena
        .sin("floods_the_log", "floods_the_log_1", &settings)
        .await
        .failed();
    assert_eq!(error.class.as_str(), "deadline", "{}", error.message);
    let said = arena.host.output();
    assert!(
        said.contains("log-lines under [limits]"),
        "it is said: {said}"
    );
    assert!(said.len() < LONG_LOG_BYTES, "{} bytes of log", said.len());
    // Each line that is kept has `log-line-bytes` at most, besides what the host says around it.
    let longest = said.lines().map(str::len).max();
    assert!(longest < Some(4_096 + 512), "{longest:?} bytes of a line");
    arena.unharmed("floods the log", "log-lines").await;
}

#[tokio::test]
async fn a_flood_of_output_is_cut() {
    let error = fails(
        "floods_its_output",
        "floods_its_output_1",
        SHORT,
        "deadline",
        &[],
    )
    .await;
    let kept = error.output.expect("the beginning is kept").len();
    // `output-bytes`, and a word about what is missing.
    assert!(kept <= 16_384 + 256, "{kept} bytes of output");
}

#[tokio::test]
async fn nothing_that_a_guest_says_is_obeyed_by_a_terminal() {
    let mut arena = Arena::open().await;
    let error = arena
        .sin("logs_escapes", "logs_escapes_1", SHORT)
        .await
        .failed();
    let status = shown(&arena.database, &["status"]).await;
    for text in [&arena.host.output(), &error.message, &status] {
        assert!(text.contains("cleared"), "it is told: {text}");
        let obeyed = text.chars().find(|character| is_obeyed(*character));
        assert_eq!(obeyed, None, "{text:?}");
    }
    let log = arena.host.output();
    assert!(
        !log.lines().any(|line| line.starts_with("forged")),
        "a line is forged: {log}"
    );
    arena.unharmed("logs escapes", "printable text").await;
}

#[tokio::test]
async fn a_loud_failure_is_cut_and_written_down() {
    let error = fails(
        "fails_loudly",
        "fails_loudly_1",
        SHORT,
        "guest-failed",
        &["bytes are left out"],
    )
    .await;
    // It said 8 MB. `message-bytes` of it are kept on purpose: an error report with its whole chain of causes has to fit, since
    // people find the culprit by it; beginning and end are left, and a word about what is missing.
    let kept = error.message.len();
    assert!(kept <= MESSAGE_BYTES + 256, "{kept} bytes are kept");
    assert!(!error.message.chars().any(is_obeyed));
}

#[tokio::test]
async fn a_guest_that_claims_more_than_it_was_given_skips_its_own_event_alone() {
    let mut arena = Arena::open().await;
    arena.modules.put_bytes("sinner.toml", SHORT.as_bytes());
    arena.modules.put("sinner.wasm", "claims_too_much");
    arena
        .until_caught(async |arena| {
            let skipped: Vec<i64> = column(
                arena.database.pool(),
                "SELECT position FROM projectionist.skipped_events WHERE subscription = 'claims_too_much_1'",
            )
            .await;
            (!skipped.is_empty()).then_some(())
        })
        .await;
    // It skips one event after the other, and never one that is not there.
    let beyond: Vec<i64> = column(
        arena.database.pool(),
        "SELECT s.position FROM projectionist.skipped_events s LEFT JOIN projectionist.events e USING (position) WHERE e.position IS NULL",
    )
    .await;
    assert_eq!(beyond, [0_i64; 0]);
    arena.unharmed("claims too much", "its own events").await;
}

#[tokio::test]
async fn appends_elsewhere_and_forged_causes_are_refused() {
    let mut arena = Arena::open().await;
    arena.modules.put("sinner.wasm", "appends_elsewhere");
    arena
        .database
        .until_status("appends_elsewhere", "Active")
        .await;
    let conversation = Uuid::from_u128(7);
    let command = NewEvent {
        correlation_id: Some(conversation),
        ..NewEvent::new("Command")
    };
    let command = arena.database.append("s", &[command]).await;
    arena
        .until_caught(async |arena| {
            let types = arena.events_by_type().await;
            types.contains(&"Answered".to_owned()).then_some(())
        })
        .await;
    let answers: Vec<String> = column(
        arena.database.pool(),
        "SELECT data::text FROM projectionist.events WHERE type = 'Answered'",
    )
    .await;
    assert_eq!(
        answers,
        [
            r#"{"answers":["projectionist-control: denied","projectionist: denied","elsewhere: bad-parameter","elsewhere: bad-parameter","elsewhere: bad-parameter"]}"#
        ]
    );
    let elsewhere: Vec<String> = column(
        arena.database.pool(),
        "SELECT DISTINCT stream FROM projectionist.events WHERE stream NOT IN ('s', 'ticks') ORDER BY stream",
    )
    .await;
    assert_eq!(elsewhere, ["answers", "own"]);
    arena.unharmed("appends elsewhere", "denied").await;

    // What it says in the metadata is kept as it is, and means nothing.
    let words = ["events", "--stream", "own", "--json"];
    let output = projectionist(Some(arena.database.url()), &words).await;
    let own = String::from_utf8(output.stdout).expect("text");
    let forged: serde_json::Value = serde_json::from_str(&own).expect("one event");
    assert_eq!(forged["metadata"]["$causationId"], "x", "{own}");
    assert_eq!(forged["causation_id"], command[0].id.to_string(), "{own}");
    assert_eq!(forged["correlation_id"], conversation.to_string(), "{own}");
    let derived = Uuid::parse_str(forged["id"].as_str().expect("an id"));
    assert_eq!(derived.expect("an id").get_version_num(), 5, "{own}");
    let now: bool = column(
        arena.database.pool(),
        "SELECT recorded_at > now() - interval '1 hour' FROM projectionist.events WHERE type = 'Forged'",
    )
    .await[0];
    assert!(now, "{own}");
    arena.until_caught(async |_| Some(())).await;
    arena.unharmed("forged causes", "set by the host").await;
}

#[tokio::test]
async fn appends_without_end_meet_their_limit_and_nothing_of_them_is_kept() {
    let mut arena = Arena::open().await;
    let settings = "[limits]\nappended-events = 100\n[retry]\nattempts = 0\n";
    arena.modules.put_bytes("sinner.toml", settings.as_bytes());
    arena.modules.put("sinner.wasm", "appends_without_end");
    arena
        .database
        .until_status("appends_without_end", "Active")
        .await;
    arena
        .database
        .append("s", &[NewEvent::new("Command")])
        .await;
    let error = arena
        .until_caught(async |arena| arena.database.error("appends_without_end").await)
        .await;
    assert!(
        error.message.contains("appended-events"),
        "{}",
        error.message
    );
    assert_eq!(arena.events_by_type().await, ["Command", "Tick"]);
    arena
        .unharmed("appends without end", "appended-events")
        .await;
}

/// An operator sees in `status` what tripped.
#[tokio::test]
async fn status_shows_what_tripped() {
    let mut arena = Arena::open().await;
    arena
        .sin("allocates_without_end", "allocates_without_end_1", NARROW)
        .await
        .failed();
    let status = eventually(PATIENCE, async || {
        let text = shown(&arena.database, &["status"]).await;
        match text.contains("memory-mib under [limits]") {
            true => Ok(text),
            false => Err(text),
        }
    })
    .await;
    assert!(status.contains("more than its limit of 64 MiB"), "{status}");
    arena.unharmed("shown by status", "memory-mib").await;
}

/// A guest can append whatever the log takes; who lists the log must not obey it.
#[tokio::test]
async fn nothing_in_the_log_is_obeyed_by_a_terminal() {
    let database = TestDatabase::new().await;
    let evil = NewEvent::new("\u{1b}[2JEvil\u{202e}\u{9b}31m");
    database.append("stream\u{1b}[31m", &[evil]).await;

    let listed = shown(&database, &["events"]).await;

    assert!(listed.contains("Evil"), "{listed}");
    assert!(!listed.chars().any(is_obeyed), "{listed:?}");
}
