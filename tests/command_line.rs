//! The command line as people and scripts see it: help, errors, exit codes, and events from one end to the other.

use std::process::Stdio;

use projectionist::cli;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::TestDatabase;

/// What a command said, and how it ended.
struct Said {
    output: String,
    errors: String,
    exit: i32,
}

fn command(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_projectionist"));
    command
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn say(database: &TestDatabase, arguments: &[&str], input: &str) -> Said {
    let mut child = command(database, arguments).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that does not read its input may be gone before it is written.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    said(child).await
}

async fn said(child: Child) -> Said {
    let output = child.wait_with_output().await.expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said {
        output: text(output.stdout),
        errors: text(output.stderr),
        exit: output.status.code().expect("an exit code"),
    }
}

#[test]
fn help_says_what_there_is() {
    insta::assert_snapshot!("help", cli::help_of(None));
    for verb in cli::verbs_with_parts() {
        let name = format!("help_{}", verb.replace(' ', "_"));
        insta::assert_snapshot!(name, cli::help_of(Some(&verb)));
    }
}

#[tokio::test]
async fn errors_say_what_happened_why_and_what_to_do() {
    let database = TestDatabase::new().await;
    let opened = [
        "append",
        "--stream",
        "s",
        "--type",
        "A",
        "--expected-version",
        "0",
    ];
    assert_eq!(say(&database, &opened, "").await.exit, 0);
    let lines = "{\"type\": \"A\"}\nnonsense\n";
    let cases: [(&[&str], &str); 7] = [
        (&opened, ""),
        (&["append", "--stream", "a*", "--type", "A"], ""),
        (&["append", "-"], lines),
        (&["import", "-"], lines),
        (&["import", "/nowhere/events.jsonl"], ""),
        (&["events", "--type", "a*b"], ""),
        (
            &[
                "events",
                "--database-url",
                "postgres://postgres@localhost/db?host=/nowhere",
            ],
            "",
        ),
    ];
    let mut told = Vec::new();
    for (arguments, input) in cases {
        let said = say(&database, arguments, input).await;
        assert_eq!(said.output, "", "{arguments:?}");
        told.push(format!(
            "$ projectionist {}\n{}exit code {}",
            arguments.join(" "),
            said.errors,
            said.exit
        ));
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

#[tokio::test]
async fn a_database_without_the_log_is_pointed_to_migrate() {
    let database = TestDatabase::new().await;
    sqlx::query("DROP SCHEMA projectionist CASCADE")
        .execute(database.pool())
        .await
        .expect("dropped");

    let refused = say(&database, &["append", "--stream", "s", "--type", "A"], "").await;
    let migrated = say(&database, &["migrate"], "").await;
    let again = say(&database, &["migrate"], "").await;
    let appended = say(&database, &["append", "--stream", "s", "--type", "A"], "").await;

    insta::assert_snapshot!(refused.errors);
    assert_eq!(
        [refused.exit, migrated.exit, again.exit, appended.exit],
        [1, 0, 0, 0]
    );
}

#[tokio::test]
async fn what_is_appended_is_shown() {
    let database = TestDatabase::new().await;
    let flags = [
        "append",
        "--stream",
        "account-17",
        "--type",
        "Opened",
        "--data",
        "{\"owner\": \"Ada\"}",
        "--metadata",
        "{\"by\": \"web\"}",
        "--tag",
        "vip",
        "--id",
        "00000000-0000-0000-0000-000000000001",
        "--causation-id",
        "00000000-0000-0000-0000-000000000002",
        "--correlation-id",
        "00000000-0000-0000-0000-000000000003",
    ];
    let lines = concat!(
        "{\"stream\": \"account-17\", \"type\": \"Deposited\", \"data\": {\"amount\": 50}, ",
        "\"id\": \"00000000-0000-0000-0000-000000000004\", \"recorded_at\": \"2024-02-29T12:00:00Z\"}\n",
        "{\"type\": \"Closed\", \"id\": \"00000000-0000-0000-0000-000000000005\", \"recorded_at\": \"2024-02-29T12:00:00Z\"}\n",
    );

    let one = say(&database, &flags, "").await;
    let two = say(
        &database,
        &["append", "-", "--stream", "account-18", "--json"],
        lines,
    )
    .await;
    let shown = say(&database, &["events", "--after", "1"], "").await;
    let tagged = say(&database, &["events", "--tag", "vip", "--json"], "").await;

    let without_time = tagged
        .output
        .split(",\"recorded_at\"")
        .next()
        .unwrap_or_default();
    insta::assert_snapshot!(
        [&one.output, &two.output, &shown.output, without_time]
            .map(str::to_owned)
            .join("\n")
    );
}

#[tokio::test]
async fn lines_are_appended_all_or_none() {
    let database = TestDatabase::new().await;
    let id = "00000000-0000-0000-0000-000000000001";
    let lines = format!(
        "{{\"stream\": \"a\", \"type\": \"A\", \"id\": \"{id}\"}}\n{{\"stream\": \"b\", \"type\": \"A\", \"id\": \"{id}\"}}\n"
    );

    let refused = say(&database, &["append", "-"], &lines).await;

    assert_eq!(refused.exit, 3);
    assert_eq!(database.store().head().await.expect("a head"), 0);
}

#[tokio::test]
async fn the_json_of_one_log_is_the_input_of_another() {
    let (from, to) = (TestDatabase::new().await, TestDatabase::new().await);
    let sample = say(&from, &["sample", "--applications", "3"], "")
        .await
        .output;
    assert_eq!(say(&from, &["import", "-"], &sample).await.exit, 0);
    let exported = say(&from, &["events", "--json", "--limit", "1000"], "")
        .await
        .output;

    let imported = say(&to, &["import", "-", "--json"], &exported).await;

    let lines = sample.lines().count();
    assert_eq!(
        imported.output,
        format!("{{\"already_there\":0,\"imported\":{lines}}}\n")
    );
    assert_eq!(
        say(&to, &["events", "--json", "--limit", "1000"], "")
            .await
            .output,
        exported
    );
}

#[tokio::test]
async fn a_follower_gets_what_is_appended_until_its_limit() {
    let database = TestDatabase::new().await;
    say(
        &database,
        &["append", "--stream", "s", "--type", "Before"],
        "",
    )
    .await;
    let mut follower = command(
        &database,
        &[
            "events", "--follow", "--json", "--after", "0", "--limit", "3",
        ],
    )
    .spawn()
    .expect("started");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    let mut next = async || lines.next_line().await.expect("read").expect("a line");

    assert!(next().await.contains("\"type\":\"Before\""));
    say(
        &database,
        &["append", "--stream", "s", "--type", "First"],
        "",
    )
    .await;
    assert!(next().await.contains("\"type\":\"First\""));
    say(
        &database,
        &["append", "--stream", "s", "--type", "Second"],
        "",
    )
    .await;
    assert!(next().await.contains("\"type\":\"Second\""));

    assert!(follower.wait().await.expect("ended").success());
}
