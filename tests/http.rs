//! What processors send: to whom the operator lists, with secrets that only the host knows, and never while muted.

use std::fs;

use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::command::{projectionist, seen as printed, shown};
use crate::support::log::{column, event};
use crate::support::process::{compiled_modules, modules};
use crate::support::server::{Answers, Server};
use crate::support::versions::numbered;
use crate::support::{
    HostProcess, Modules, PATIENCE, TestDatabase, eventually, repository, stepped,
};

const GUEST: &str = "calls_out";

/// What the host knows and the guest never learns.
const SECRET: &str = "kept-from-every-guest";

/// An answer that the guest keeps.
#[derive(Debug, sqlx::FromRow)]
struct Answered {
    status: i64,
    headers: String,
    body: String,
}

async fn answers(database: &TestDatabase, id: &str) -> Vec<Answered> {
    let select = format!("SELECT status, headers, body FROM \"{id}\".answers ORDER BY position, n");
    let answers = sqlx::query_as(AssertSqlSafe(select));
    answers.fetch_all(database.pool()).await.unwrap_or_default()
}

/// Runs the guest with these settings over one event; what it was answered, and why it failed.
async fn called_out(settings: &str) -> (TestDatabase, Vec<Answered>, Option<String>) {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_bytes("calls_out.toml", settings.as_bytes());
    modules.put("calls_out.wasm", GUEST);
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("looked");
    database.append_ticks(1).await;
    host.once().await.expect("caught up");
    let error = database.error(GUEST).await.map(|error| error.message);
    let answers = answers(&database, GUEST).await;
    (database, answers, error)
}

fn reaching(origin: &str, more: &str) -> String {
    format!(
        "[retry]\nattempts = 0\n[settings]\nurl = \"{origin}/path?query\"\n{more}\n[http]\nallow = [\"{origin}\"]\n"
    )
}

#[tokio::test]
async fn a_listed_origin_is_reached_and_its_answer_is_the_guests() {
    let head = "HTTP/1.1 201 Created\r\nx-colour: blue";
    let server = Server::start(Answers::With(head, "made".to_owned())).await;
    let more = "method = \"POST\"\nbody-bytes = 3\nheader = \"x-from: a guest\"";
    let (_, answers, error) = called_out(&reaching(&server.origin(), more)).await;

    assert_eq!(error, None);
    let [answer] = &answers[..] else {
        panic!("one answer, not {answers:?}");
    };
    assert_eq!((answer.status, answer.body.as_str()), (201, "made"));
    assert!(answer.headers.contains("x-colour: blue"), "{answer:?}");
    let [request] = &server.seen()[..] else {
        panic!("one request, not {:?}", server.seen());
    };
    assert!(
        request.starts_with("POST /path?query HTTP/1.1\r\n"),
        "{request}"
    );
    for part in [
        &format!("host: 127.0.0.1:{}\r\n", server.port()),
        "x-from: a guest\r\n",
        "\r\n\r\nxxx",
    ] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[tokio::test]
async fn scheme_host_and_port_must_all_be_listed() {
    let server = Server::start(Answers::WithTheRequest).await;
    let port = server.port();
    for url in [
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        "http://127.0.0.1".to_owned(),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://user@127.0.0.1:{port}"),
    ] {
        let settings = reaching(&server.origin(), "").replacen(&server.origin(), &url, 1);
        let (_, answers, error) = called_out(&settings).await;
        let error = error.expect("it fails");
        assert!(answers.is_empty() && server.connected() == 0, "{url}");
        assert!(
            error.contains("may be reached") || error.contains("user name"),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_see() {
    let elsewhere = Server::start(Answers::WithTheRequest).await;
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/",
        elsewhere.origin()
    );
    let server = Server::start(Answers::With(head.leak(), String::new())).await;
    let (_, answers, error) = called_out(&reaching(&server.origin(), "")).await;
    assert_eq!(error, None);
    assert_eq!(answers[0].status, 307);
    assert!(
        answers[0].headers.contains(&elsewhere.origin()),
        "{answers:?}"
    );
    assert_eq!((server.connected(), elsewhere.connected()), (1, 0));
}

#[tokio::test]
async fn a_private_address_is_reached_by_a_name_when_it_is_listed() {
    let server = Server::start(Answers::WithTheRequest).await;
    let origin = format!("http://localhost:{}", server.port());
    let listed = format!(
        "{}private = [\"127.0.0.0/8\", \"::1\"]\n",
        reaching(&origin, "")
    );
    let (_, answers, error) = called_out(&listed).await;
    assert_eq!(error, None);
    assert_eq!(answers[0].status, 200);
}

#[tokio::test]
async fn certificates_are_checked_against_the_usual_authorities_and_those_of_the_operator() {
    let server = Server::with_tls(Answers::With("HTTP/1.1 200 OK", "hello".to_owned())).await;
    let origin = format!("https://127.0.0.1:{}", server.port());
    let (_, answers, error) = called_out(&reaching(&origin, "")).await;
    let error = error.expect("nobody knows the authority");
    assert!(answers.is_empty() && server.seen().is_empty());
    assert!(
        error.contains("certificate") && error.contains("`ca` under [http]"),
        "{error}"
    );

    let authority = repository().join("tests/tls/authority.pem");
    let settings = format!("{}ca = {:?}\n", reaching(&origin, ""), authority);
    let (_, answers, error) = called_out(&settings).await;
    assert_eq!(error, None);
    assert_eq!(answers[0].body, "hello");
}

/// A host that may log all that it has to say, with the secret in its environment.
async fn with_secret(settings: &str) -> (TestDatabase, Modules, HostProcess) {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_bytes("calls_out.toml", settings.as_bytes());
    modules.put("calls_out.wasm", GUEST);
    let host = HostProcess::start_with(database.url(), modules.path(), |command| {
        command
            .env("CALLS_OUT_SECRET", SECRET)
            .env("PROJECTIONIST_LOG", "trace")
    });
    database.until_status(GUEST, "Active").await;
    database.append_ticks(1).await;
    (database, modules, host)
}

fn secret(origin: &str) -> String {
    format!(
        "[http.secrets.\"{origin}\"]\nauthorization = {{ env = \"CALLS_OUT_SECRET\", prefix = \"Bearer \" }}\n"
    )
}

/// Everything that anybody can look at, except for what the server was sent.
async fn all_that_is_visible(
    database: &TestDatabase,
    modules: &Modules,
    host: HostProcess,
) -> String {
    let mut visible = vec![
        shown(database, &["status", "--json"]).await,
        shown(database, &["modules", "list", "--json"]).await,
    ];
    let check = [
        "check",
        &modules.file("calls_out.wasm").display().to_string(),
        "--json",
    ]
    .map(str::to_owned);
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    visible.push(printed(&projectionist(None, &check).await));
    for table in [
        "subscriptions",
        "lane_errors",
        "skipped_events",
        "host_files",
        "events",
    ] {
        let rows = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT t::text FROM projectionist.{table} t"
        )));
        visible.extend(
            rows.fetch_all(database.pool())
                .await
                .unwrap_or_else(|error| panic!("{table}: {error}")),
        );
    }
    visible.push(format!("{:?}", answers(database, GUEST).await));
    let (_, said) = host.stopped_within(PATIENCE).await;
    visible.push(said);
    visible.join("\n")
}

#[tokio::test]
async fn a_secret_is_placed_by_the_host_and_visible_nowhere() {
    let server = Server::start(Answers::With(
        "HTTP/1.1 200 OK\r\nauthorization: yours",
        "fine".to_owned(),
    ))
    .await;
    let settings = reaching(&server.origin(), "") + &secret(&server.origin());
    let (database, modules, host) = with_secret(&settings).await;
    eventually(PATIENCE, async || {
        match answers(&database, GUEST).await.len() {
            0 => Err(host.output()),
            _ => Ok(()),
        }
    })
    .await;

    let sent = server.seen().join("\n");
    assert!(
        sent.contains(&format!("authorization: Bearer {SECRET}\r\n")),
        "{sent}"
    );
    let [answer] = &answers(&database, GUEST).await[..] else {
        panic!("one answer");
    };
    assert!(
        !answer.headers.contains("authorization"),
        "not even of an answer: {answer:?}"
    );
    let visible = all_that_is_visible(&database, &modules, host).await;
    assert!(visible.contains("CALLS_OUT_SECRET"), "the place is shown");
    assert!(!visible.contains(SECRET), "the secret is not: {visible}");
}

#[tokio::test]
async fn a_server_that_sends_the_secret_back_is_not_listened_to() {
    let server = Server::start(Answers::WithTheRequest).await;
    let settings = reaching(&server.origin(), "") + &secret(&server.origin());
    let (database, modules, host) = with_secret(&settings).await;
    database.until_status(GUEST, "Error(Active)").await;
    let error = database.error(GUEST).await.expect("an error").message;
    assert!(error.contains("the answer is withheld"), "{error}");
    let visible = all_that_is_visible(&database, &modules, host).await;
    assert!(!visible.contains(SECRET), "{visible}");
}

#[tokio::test]
async fn a_secret_goes_to_its_own_origin_alone() {
    let (own, other) = (
        Server::start(Answers::WithTheRequest).await,
        Server::start(Answers::WithTheRequest).await,
    );
    let settings = reaching(&other.origin(), "");
    let both = format!("allow = [\"{}\", \"{}\"]", other.origin(), own.origin());
    let settings = settings.replace(&format!("allow = [\"{}\"]", other.origin()), &both)
        + &secret(&own.origin());
    let (database, _modules, host) = with_secret(&settings).await;
    eventually(PATIENCE, async || match other.seen().is_empty() {
        true => Err(host.output()),
        false => Ok(()),
    })
    .await;
    assert!(!other.seen().join("\n").contains(SECRET));
    assert_eq!(database.error(GUEST).await.map(|error| error.message), None);
}

#[tokio::test]
async fn a_guest_cannot_set_a_header_that_holds_a_secret() {
    let server = Server::start(Answers::WithTheRequest).await;
    let more = "header = \"Authorization: Bearer mine\"";
    let settings = reaching(&server.origin(), more) + &secret(&server.origin());
    let (_, answers, error) = called_out(&settings).await;
    let error = error.expect("it fails");
    assert!(
        error.contains("the header `Authorization` cannot be set"),
        "{error}"
    );
    assert!(answers.is_empty() && server.connected() == 0);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_by_its_place() {
    let server = Server::start(Answers::WithTheRequest).await;
    let missing = secret(&server.origin()).replace("CALLS_OUT_SECRET", "CALLS_OUT_NO_SUCH");
    let (database, answers, error) = called_out(&(reaching(&server.origin(), "") + &missing)).await;
    let error = error.expect("it fails");
    assert!(
        error.contains("the variable CALLS_OUT_NO_SUCH is not set"),
        "{error}"
    );
    let status = shown(&database, &["status"]).await;
    assert!(status.contains("CALLS_OUT_NO_SUCH is not set"), "{status}");
    assert!(answers.is_empty() && server.connected() == 0);
}

#[tokio::test]
async fn nothing_leaves_while_a_version_rebuilds_its_state() {
    let server = Server::start(Answers::WithTheRequest).await;
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_bytes("mailer.wasm", &numbered("mailer", "mailer", 101));
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    let commands = vec![event("Command", &json!({})); 3];
    database.append("orders", &commands).await;
    host.once().await.expect("caught up");

    let settings = reaching(&server.origin(), "goes-on = true");
    modules.put_bytes("mailer.toml", settings.as_bytes());
    modules.put_bytes(
        "mailer.wasm",
        &numbered("calls_out_and_rebuilds", "mailer", 102),
    );
    host.once().await.expect("caught up");
    let muted = answers(&database, "mailer_102").await;
    assert_eq!(muted.len(), 3);
    for answer in muted {
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (0, "the host refused the request")
        );
    }
    assert_eq!(server.connected(), 0);

    database.append("orders", &commands[..1]).await;
    host.once().await.expect("caught up");
    assert_eq!(database.live("mailer").await.as_deref(), Some("mailer_102"));
    assert_eq!(answers(&database, "mailer_102").await[3].status, 200);
    assert_eq!(server.connected(), 1);
}

#[tokio::test]
async fn a_muted_version_that_insists_fails_with_the_reason() {
    let server = Server::start(Answers::WithTheRequest).await;
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_bytes("mailer.wasm", &numbered("mailer", "mailer", 101));
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    database
        .append("orders", &[event("Command", &json!({}))])
        .await;
    host.once().await.expect("caught up");
    modules.put_bytes("mailer.toml", reaching(&server.origin(), "").as_bytes());
    modules.put_bytes(
        "mailer.wasm",
        &numbered("calls_out_and_rebuilds", "mailer", 102),
    );
    host.once().await.expect("caught up");
    let error = database
        .error("mailer_102")
        .await
        .expect("an error")
        .message;
    assert!(error.contains("rebuilds its state"), "{error}");
    assert_eq!(server.connected(), 0);
    assert_eq!(database.status("mailer_101").await, "Active");
}

#[tokio::test]
async fn nothing_leaves_before_the_first_event() {
    let server = Server::start(Answers::WithTheRequest).await;
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    let settings = format!(
        "[settings]\nhost = \"127.0.0.1:{}\"\n[http]\nallow = [\"{}\"]\n",
        server.port(),
        server.origin()
    );
    modules.put_bytes("setup.toml", settings.as_bytes());
    modules.put("setup.wasm", "calls_out_in_setup");
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    let error = database
        .error("calls_out_in_setup")
        .await
        .expect("an error");
    assert!(
        error.message.contains("from `handle` alone"),
        "{}",
        error.message
    );
    assert_eq!(server.connected(), 0);
}

#[tokio::test]
async fn who_may_send_requests_is_known_before_the_first_event() {
    let modules = modules(&[GUEST, "calls_out_in_projector", "records"]);
    let cache = compiled_modules().display().to_string();
    let check = async |file: &str| {
        let path = modules.path().join(file).display().to_string();
        let words = ["check", &path, "--cache-dir", &cache];
        format!(
            "$ projectionist check {file}\n{}\n",
            printed(&projectionist(None, &words).await)
        )
    };
    let mut said = vec![
        check("calls_out.wasm").await,
        check("calls_out_in_projector.wasm").await,
    ];
    let put = |file: &str, text: &str| fs::write(modules.path().join(file), text).expect("written");
    put("records.toml", "[http]\nallow = []\n");
    said.push(check("records.wasm").await);
    put("calls_out.toml", "[http]\nallow = []\n");
    said.push(check("calls_out.wasm").await);
    let listed = "[http]\nallow = [\"https://mail.example.com\", \"http://127.0.0.1:8025\"]\n[http.secrets.\"https://mail.example.com\"]\nauthorization = { env = \"MAIL_TOKEN\" }\n";
    put("calls_out.toml", listed);
    said.push(check("calls_out.wasm").await);
    for wrong in [
        "[http]\nallow = [\"mail.example.com\"]\n",
        "[http]\nallow = []\nprivate = [\"nearby\"]\n",
        "[http.secrets.\"https://a.example\"]\nx-key = { env = \"A\" }\n",
        "[http]\nallow = [\"https://a.example\"]\n[http.secrets.\"https://a.example\"]\nhost = { env = \"A\" }\n",
        "[http]\nallow = [\"https://a.example\"]\n[http.secrets.\"https://a.example\"]\nx-key = { value = \"A\" }\n",
    ] {
        put("calls_out.toml", wrong);
        said.push(check("calls_out.wasm").await);
    }
    let said = said.join("\n");
    let folder = modules.path().display().to_string();
    insta::with_settings!({filters => vec![
        (folder.as_str(), "DIR"),
        (r"sha256      [0-9a-f]{64}", "sha256      DIGEST"),
        (r"size        .*", "size        SIZE"),
        (r"in [\d,]+ ms", "in N ms"),
        (r"\d+ imported", "N imported"),
    ]}, {
        insta::assert_snapshot!(said);
    });
}

#[tokio::test]
async fn a_module_without_a_list_of_origins_waits_for_one() {
    let server = Server::start(Answers::WithTheRequest).await;
    let (database, modules) = (TestDatabase::new().await, Modules::with(&[GUEST]));
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("looked");
    let refusals: Vec<Option<String>> = column(
        database.pool(),
        "SELECT refusal FROM projectionist.host_files",
    )
    .await;
    let refusal = refusals[0].as_deref().expect("it is refused");
    assert!(refusal.contains("[http] allow"), "{refusal}");

    modules.put_bytes("calls_out.toml", reaching(&server.origin(), "").as_bytes());
    host.scan().await.expect("looked");
    database.append_ticks(1).await;
    host.once().await.expect("caught up");
    assert_eq!(answers(&database, GUEST).await.len(), 1);
}
