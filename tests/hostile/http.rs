//! Sins of those who send requests, and of those who answer them.

use projectionist::guest::NAMES_VARIABLE;
use projectionist::store::LaneError;

use super::arena::Arena;
use crate::support::server::{Answers, Server};

/// Limits that make a sin short, where the call itself has time enough.
const LIMITS: &str = "[limits]
handle-timeout-ms = 20000
http-first-byte-timeout-ms = 400
http-between-bytes-timeout-ms = 400
http-request-timeout-ms = 1500
http-request-kib = 64
http-response-kib = 64
[retry]
attempts = 0
";

/// Settings of a guest that may reach `allow`.
fn settings(allow: &str, more: &str) -> String {
    format!("{LIMITS}[http]\nallow = [\"{allow}\"]\n{more}\n")
}

/// A guest that sends requests fails, and the message holds all of these words.
async fn fails(
    mut arena: Arena,
    sin: &str,
    guest: &str,
    settings: &str,
    words: &[&str],
) -> LaneError {
    let error = arena.sin(guest, guest, settings).await.failed();
    assert_eq!(error.class.as_str(), "guest-failed", "{}", error.message);
    for word in words {
        assert!(
            error.message.contains(word),
            "{word:?} is not in: {}",
            error.message
        );
    }
    assert_eq!(arena.events_by_type().await, ["Tick"]);
    arena.unharmed(sin, words.first().unwrap_or(&sin)).await;
    error
}

/// The same with a guest that asks this server for `/`.
async fn fails_at(server: &Server, sin: &str, more: &str, words: &[&str]) {
    let origin = server.origin();
    let settings = settings(&origin, &format!("[settings]\nurl = \"{origin}/\"\n{more}"));
    fails(Arena::open().await, sin, "calls_out", &settings, words).await;
}

#[tokio::test]
async fn a_forbidden_origin_is_not_reached() {
    let (listed, other) = (
        Server::start(Answers::Never).await,
        Server::start(Answers::Never).await,
    );
    let more = format!("[settings]\nurl = \"{}/\"", other.origin());
    let settings = settings(&listed.origin(), &more);
    let words = ["`allow` under [http]", &other.origin(), &listed.origin()];
    let arena = Arena::open().await;
    fails(
        arena,
        "calls a forbidden origin",
        "calls_out",
        &settings,
        &words,
    )
    .await;
    assert_eq!((listed.connected(), other.connected()), (0, 0));
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_is_not_listed() {
    let forbidden = Server::start(Answers::WithTheRequest).await;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {}/", forbidden.origin());
    let answers = Answers::With(head.leak(), String::new());
    let redirecting = Server::start(answers).await;
    let words = ["`allow` under [http]", &forbidden.origin()];
    fails_at(&redirecting, "follows a redirect", "follows = true", &words).await;
    assert!(redirecting.connected() > 0);
    assert_eq!(forbidden.connected(), 0);
}

#[tokio::test]
async fn a_name_of_this_machine_is_not_public() {
    let server = Server::start(Answers::WithTheRequest).await;
    let origin = format!("http://localhost:{}", server.port());
    let settings = settings(&origin, &format!("[settings]\nurl = \"{origin}/\""));
    let words = ["`private` under [http]", "loopback", &origin];
    fails(
        Arena::open().await,
        "names this machine",
        "calls_out",
        &settings,
        &words,
    )
    .await;
    assert_eq!(server.connected(), 0);
}

/// The name stands for a listed address when it is first asked for, and for another one the next time: whoever checks the
/// one and then connects by name would reach the other.
#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let listed = Server::at("127.0.0.2:0", Answers::WithTheRequest).await;
    let within = format!("127.0.0.1:{}", listed.port());
    let within = Server::at(&within, Answers::WithTheRequest).await;
    let arena =
        Arena::open_with(|command| command.env(NAMES_VARIABLE, "rebinds.test=127.0.0.2,127.0.0.1"));
    let origin = format!("http://rebinds.test:{}", listed.port());
    let more = format!("private = [\"127.0.0.2\"]\n[settings]\nurl = \"{origin}/\"\ntimes = 2");
    let words = ["`private` under [http]", "127.0.0.1", &origin];
    fails(
        arena.await,
        "rebinds a name",
        "calls_out",
        &settings(&origin, &more),
        &words,
    )
    .await;
    assert_eq!((listed.connected(), within.connected()), (1, 0));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(Answers::Never).await;
    let words = ["http-first-byte-timeout-ms", "400 ms"];
    fails_at(&server, "waits for an answer", "", &words).await;
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let server = Server::start(Answers::Drip).await;
    let words = ["http-request-timeout-ms", "1500 ms"];
    fails_at(&server, "is answered in drips", "", &words).await;
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_given_up() {
    let server = Server::start(Answers::Half).await;
    let words = ["http-between-bytes-timeout-ms", "400 ms"];
    fails_at(&server, "is answered by half", "", &words).await;
}

#[tokio::test]
async fn a_server_that_does_not_shake_hands_is_given_up() {
    let server = Server::start(Answers::Never).await;
    let origin = format!("https://127.0.0.1:{}", server.port());
    let more = format!("[settings]\nurl = \"{origin}/\"");
    let settings =
        settings(&origin, &more).replace("[limits]", "[limits]\nhttp-connect-timeout-ms = 400");
    let words = ["http-connect-timeout-ms", "400 ms"];
    fails(
        Arena::open().await,
        "waits for a handshake",
        "calls_out",
        &settings,
        &words,
    )
    .await;
}

#[tokio::test]
async fn no_request_outlasts_its_call() {
    let server = Server::start(Answers::Never).await;
    let more = format!("[settings]\nurl = \"{}/\"", server.origin());
    let settings = settings(&server.origin(), &more)
        .replace("handle-timeout-ms = 20000", "handle-timeout-ms = 300");
    let mut arena = Arena::open().await;
    let error = arena
        .sin("calls_out", "calls_out", &settings)
        .await
        .failed();
    assert_eq!(error.class.as_str(), "deadline", "{}", error.message);
    assert!(
        error.message.contains("handle-timeout-ms"),
        "{}",
        error.message
    );
    arena
        .unharmed("outlasts its call", "handle-timeout-ms")
        .await;
}

#[tokio::test]
async fn endless_headers_are_cut() {
    let server = Server::start(Answers::EndlessHeaders).await;
    let words = ["http-headers", "32768 bytes"];
    fails_at(&server, "endless headers", "", &words).await;
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let server = Server::start(Answers::EndlessBody).await;
    let words = ["http-response-kib", "64 KiB"];
    fails_at(&server, "endless body", "", &words).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_cut() {
    let server = Server::start(Answers::WithTheRequest).await;
    let words = ["http-request-kib", "64 KiB"];
    let more = "method = \"POST\"\nbody-bytes = 8000000";
    fails_at(&server, "sends a huge request", more, &words).await;
    assert!(server.seen().is_empty(), "none of them was whole");
}

#[tokio::test]
async fn headers_that_are_too_long_are_refused() {
    let server = Server::start(Answers::WithTheRequest).await;
    let words = ["http-header-bytes", "32768 bytes"];
    let more = format!("header = \"x-long: {}\"", "x".repeat(40_000));
    fails_at(&server, "sends long headers", &more, &words).await;
    assert_eq!(server.connected(), 0);
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let server = Server::start(Answers::Never).await;
    let host = format!("127.0.0.1:{}", server.port());
    let settings = settings(&server.origin(), &format!("[settings]\nhost = \"{host}\""));
    let words = [
        "http-concurrent",
        "4 requests",
        "more requests were refused",
    ];
    let guest = "calls_out_at_once";
    fails(
        Arena::open().await,
        "calls out at once",
        guest,
        &settings,
        &words,
    )
    .await;
    assert!(server.connected() <= 4, "{}", server.connected());
}

#[tokio::test]
async fn too_many_requests_in_a_batch_are_refused() {
    let server = Server::start(Answers::WithTheRequest).await;
    let words = ["http-requests", "100 requests"];
    fails_at(&server, "calls out without end", "times = 1000", &words).await;
    assert_eq!(server.connected(), 100);
}
