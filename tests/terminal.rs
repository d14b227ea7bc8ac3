//! The question before tables are dropped, on a terminal. `script` makes one and types what the test tells it to.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::support::command::projectionist;
use crate::support::process::compiled_modules;
use crate::support::{Modules, TestDatabase, stepped};

const ID: &str = "records_1";

/// What ctrl-d sends.
const END_OF_INPUT: &[u8] = b"\x04";

/// A database with a subscription that has tables.
async fn built() -> TestDatabase {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(2).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    database
}

/// Calls the binary on a terminal, answers its question, and says what stood there in the end, and the exit code.
async fn answered(
    database: &TestDatabase,
    words: &str,
    answer: &'static [u8],
) -> (String, Option<i32>) {
    let command = format!(
        "'{}' {words} --cache-dir '{}'",
        env!("CARGO_BIN_EXE_projectionist"),
        compiled_modules().display()
    );
    let url = database.url().to_owned();
    let talking = tokio::task::spawn_blocking(move || {
        let mut terminal = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &command,
                "/dev/null",
            ])
            .env("SHELL", "/bin/sh")
            .env("DATABASE_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script`, which every Debian has (package bsdutils)");
        let mut hand = terminal.stdin.take().expect("piped");
        let mut screen = terminal.stdout.take().expect("piped");
        let (mut shown, mut piece) = (Vec::new(), [0; 1024]);
        let mut asked = false;
        while let Ok(length) = screen.read(&mut piece)
            && length > 0
        {
            shown.extend_from_slice(&piece[..length]);
            if !asked && String::from_utf8_lossy(&shown).contains("[y/N] ") {
                asked = true;
                hand.write_all(answer).expect("typed");
            }
        }
        let status = terminal.wait().expect("it has ended");
        (String::from_utf8_lossy(&shown).into_owned(), status.code())
    });
    talking.await.expect("it has ended")
}

async fn is_there(database: &TestDatabase) -> bool {
    let row = database.store().subscription(ID).await.expect("an answer");
    let rows = database.seen(ID).await.map_or(0, |rows| rows.len());
    assert_eq!(row.is_some(), rows == 2, "row and tables: {rows} rows");
    row.is_some()
}

#[tokio::test]
async fn yes_drops() {
    let database = built().await;

    let (shown, code) = answered(&database, "remove --id records_1", b"yes\n").await;

    assert!(
        shown.contains("its schema records_1 goes, with all tables in it"),
        "{shown}"
    );
    assert_eq!(code, Some(0), "{shown}");
    assert!(!is_there(&database).await, "{shown}");
}

#[tokio::test]
async fn anything_else_and_the_end_of_the_input_keep_everything() {
    let database = built().await;
    let answers: [&[u8]; 3] = [b"no\n", b"\n", END_OF_INPUT];
    for answer in answers {
        for words in ["remove --id records_1", "rewind --id records_1 --to 0"] {
            let (shown, code) = answered(&database, words, answer).await;
            assert!(
                shown.contains("nothing was re"),
                "{words}, {answer:?}: {shown}"
            );
            assert_eq!(code, Some(1), "{words}, {answer:?}: {shown}");
            assert!(is_there(&database).await, "{words}, {answer:?}: {shown}");
        }
    }
    assert_eq!(database.subscription(ID).await.generation, 1);
}

#[tokio::test]
async fn without_a_terminal_nobody_is_asked_and_nothing_is_dropped() {
    let database = built().await;
    for verb in ["remove", "teardown", "rewind"] {
        let mut words = vec![verb, "--id", ID];
        match verb {
            "rewind" => words.extend(["--to", "0"]),
            "teardown" => {
                let removed = sqlx::query(
                    "UPDATE projectionist.subscriptions SET status = 'Detached', resume = 'Active'",
                );
                removed.execute(database.pool()).await.expect("detached");
            }
            _ => {}
        }
        let output = projectionist(Some(database.url()), &words).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{verb}: {told}");
        assert!(
            told.contains("pass --yes to say that it is"),
            "{verb}: {told}"
        );
        assert!(is_there(&database).await, "{verb}: {told}");
    }
}
