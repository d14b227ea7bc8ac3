//! Importing: everything is judged first, and doing it again doubles nothing.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use projectionist::admin::import::{Error, Input, Progress, import};
use projectionist::admin::sample;
use projectionist::store::{self, ExpectedVersion, NewEvent, Store, Written};
use sqlx::PgPool;
use tempfile::NamedTempFile;
use tokio::process::Command;
use uuid::Uuid;

use crate::support::{PATIENCE, TestDatabase, eventually};

fn file(content: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content.as_ref()).expect("written");
    file
}

fn applications(count: u32) -> Vec<u8> {
    let mut lines = Vec::new();
    sample::write_lines(count, 1, &mut lines).expect("memory can be written");
    lines
}

fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

async fn import_file(store: &Store, path: &Path) -> Result<Written, Error> {
    import(store, &Input::from(path), |_| {}).await
}

async fn count(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM projectionist.events")
        .fetch_one(pool)
        .await
        .expect("a count")
}

/// Streams whose versions are not 1, 2, 3 and so on in the order of positions.
async fn broken_streams(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT version, row_number() OVER (PARTITION BY stream ORDER BY position) AS expected
                               FROM projectionist.events) e WHERE version <> expected",
    )
    .fetch_one(pool)
    .await
    .expect("a count")
}

#[tokio::test]
async fn takes_in_every_line_in_the_order_of_the_file() {
    let database = TestDatabase::new().await;
    let content = applications(600);
    let lines = content.iter().filter(|byte| **byte == b'\n').count() as u64;

    let written = import_file(&database.store(), file(&content).path())
        .await
        .expect("imported");

    assert_eq!(
        written,
        Written {
            imported: lines,
            already_there: 0
        }
    );
    assert_eq!(broken_streams(database.pool()).await, 0);
    let log = database.log().await;
    assert!(log.is_sorted_by_key(|event| event.recorded_at_micros));
    let made: Vec<(String, String)> = sample::events(600, 1)
        .map(|event| (event.stream, event.data))
        .collect();
    let read: Vec<(String, String)> = log
        .into_iter()
        .map(|event| (event.stream().to_owned(), event.data().to_owned()))
        .collect();
    assert!(made == read, "the log differs from the file");
}

#[tokio::test]
async fn keeps_every_field_of_a_line() {
    let database = TestDatabase::new().await;
    let line = r#"{"position": 17, "version": 4, "id": "00000000-0000-0000-0000-000000000001", "stream": "s", "type": "Åbnet", "data": { "b":1.50 }, "metadata": {"user": 7}, "causation_id": "00000000-0000-0000-0000-000000000002", "correlation_id": "00000000-0000-0000-0000-000000000003", "tags": ["vip", "a,b"], "recorded_at": "2011-09-30T22:38:44.546789Z"}"#;

    import_file(&database.store(), file(line).path())
        .await
        .expect("imported");

    let log = database.log().await;
    insta::assert_debug_snapshot!(log);
}

#[tokio::test]
async fn writes_nothing_when_a_line_is_bad_and_says_which() {
    let database = TestDatabase::new().await;
    let mut content = String::new();
    content.push_str("{\"stream\": \"s\", \"type\": \"A\"}\n\n");
    content.push_str("{\"type\": \"A\"}\n");
    content.push_str("{\"stream\": \"s\"}\n");
    content.push_str("not JSON\n");
    for _ in 0..30 {
        content.push_str("{\"stream\": \"s\", \"type\": \"\"}\n");
    }

    let refused = import_file(&database.store(), file(&content).path()).await;

    assert_eq!(count(database.pool()).await, 0);
    let Err(Error::BadLines {
        lines,
        count,
        first,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((lines, count, first.len()), (35, 33, 20));
    let told: Vec<String> = first
        .iter()
        .take(4)
        .map(|bad| format!("{}: {}", bad.number, bad.reason))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn tells_bytes_that_are_no_text_and_lines_without_end() {
    let database = TestDatabase::new().await;
    let mut content = b"{\"stream\": \"s\", \"type\": \"\xff\"}\n".to_vec();
    content.extend(std::iter::repeat_n(b'x', 10 * 1024 * 1024));
    content.extend(b"\n{\"stream\": \"s\", \"type\": \"A\"}");

    let refused = import_file(&database.store(), file(&content).path()).await;

    let Err(Error::BadLines {
        lines,
        count,
        first,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((lines, count), (3, 2));
    assert_eq!(first[0].reason, "it is not UTF-8 (byte 26)");
    assert_eq!(first[1].reason, "it is longer than 9502720 bytes");
}

#[tokio::test]
async fn the_same_file_again_doubles_nothing_compressed_or_not() {
    let database = TestDatabase::new().await;
    let content = applications(400);
    let plain = file(&content);
    let gzip = file(compressed(&content));

    let first = import_file(&database.store(), gzip.path())
        .await
        .expect("imported");
    let again = import_file(&database.store(), plain.path())
        .await
        .expect("imported");

    assert_eq!(
        again,
        Written {
            imported: 0,
            already_there: first.imported
        }
    );
    assert_eq!(count(database.pool()).await, first.imported as i64);
}

#[tokio::test]
async fn reads_a_file_of_several_compressed_parts() {
    let database = TestDatabase::new().await;
    let mut content = compressed(b"{\"stream\": \"s\", \"type\": \"A\"}\n");
    content.extend(compressed(b"{\"stream\": \"s\", \"type\": \"B\"}\n"));

    let written = import_file(&database.store(), file(&content).path())
        .await
        .expect("imported");

    assert_eq!(written.imported, 2);
}

#[tokio::test]
async fn goes_on_where_a_killed_import_stopped() {
    let database = TestDatabase::new().await;
    let content = applications(3_000);
    let lines = content.iter().filter(|byte| **byte == b'\n').count() as i64;
    let file = file(&content);
    let mut killed = Command::new(env!("CARGO_BIN_EXE_projectionist"))
        .args(["import", "--database-url", database.url()])
        .arg(file.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    eventually(PATIENCE, async || match count(database.pool()).await {
        0 => Err("nothing is written yet"),
        _ => Ok(()),
    })
    .await;
    killed.start_kill().expect("killed");
    killed.wait().await.expect("ended");
    let before = count(database.pool()).await;
    assert!(
        before < lines,
        "the import was done before it could be killed"
    );

    let written = import_file(&database.store(), file.path())
        .await
        .expect("imported");

    assert_eq!(written.imported + written.already_there, lines as u64);
    assert_eq!(count(database.pool()).await, lines);
    assert_eq!(broken_streams(database.pool()).await, 0);
}

#[tokio::test]
async fn goes_on_behind_what_its_streams_have() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let events = vec![NewEvent::new("Before"); 3];
    store
        .append("application-200001", ExpectedVersion::Any, &events)
        .await
        .expect("appended");

    import_file(&store, file(applications(2)).path())
        .await
        .expect("imported");

    assert_eq!(broken_streams(database.pool()).await, 0);
}

#[tokio::test]
async fn shares_streams_with_appenders_at_work() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let appender = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..400 {
                let stream = format!("application-{}", 200_001 + 3 * (number % 20));
                store
                    .append(&stream, ExpectedVersion::Any, &[NewEvent::new("Note")])
                    .await
                    .expect("appended");
            }
        }
    });

    let content = applications(600);
    let lines = content.iter().filter(|byte| **byte == b'\n').count() as i64;
    let written = import_file(&store, file(&content).path())
        .await
        .expect("imported");
    appender.await.expect("appended");

    assert_eq!(written.imported, lines as u64);
    assert_eq!(count(database.pool()).await, lines + 400);
    assert_eq!(broken_streams(database.pool()).await, 0);
}

#[tokio::test]
async fn an_id_of_another_event_stops_the_import_at_its_line() {
    let database = TestDatabase::new().await;
    let id = Uuid::from_u128(1);
    let taken = NewEvent {
        id: Some(id),
        ..NewEvent::new("A")
    };
    database
        .store()
        .append("other", ExpectedVersion::Any, &[taken])
        .await
        .expect("appended");
    let content = format!(
        "{{\"stream\": \"s\", \"type\": \"A\"}}\n{{\"stream\": \"s\", \"type\": \"A\", \"id\": \"{id}\"}}\n"
    );

    let stopped = import_file(&database.store(), file(&content).path()).await;

    match stopped {
        Err(Error::Stopped {
            source: store::Error::IdTaken { message },
            ..
        }) => insta::assert_snapshot!(message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_that_is_there_twice_is_one_event() {
    let database = TestDatabase::new().await;
    let line =
        "{\"stream\": \"s\", \"type\": \"A\", \"id\": \"00000000-0000-0000-0000-000000000001\"}\n";

    let written = import_file(&database.store(), file(line.repeat(2)).path())
        .await
        .expect("imported");

    assert_eq!(
        written,
        Written {
            imported: 1,
            already_there: 1
        }
    );
}

#[tokio::test]
async fn tells_how_far_it_is() {
    let database = TestDatabase::new().await;
    let content = applications(600);
    let lines = content.iter().filter(|byte| **byte == b'\n').count() as u64;
    let told = Mutex::new(Vec::new());

    let file = file(&content);
    import(&database.store(), &Input::from(file.path()), |progress| {
        told.lock().expect("told").push(progress)
    })
    .await
    .expect("imported");

    let told = told.into_inner().expect("told");
    assert!(
        matches!(told[0], Progress::Checking { of, .. } if of == content.len() as u64),
        "{told:?}"
    );
    assert_eq!(
        told.last(),
        Some(&Progress::Writing {
            events: lines,
            of: lines
        })
    );
}

#[tokio::test]
async fn a_sample_is_imported_once() {
    let database = TestDatabase::new().await;

    let first = sample::import(&database.store(), 50, 7, |_| {})
        .await
        .expect("imported");
    let again = sample::import(&database.store(), 50, 7, |_| {})
        .await
        .expect("imported");

    assert_eq!(first.imported, sample::events(50, 7).count() as u64);
    assert_eq!(
        again,
        Written {
            imported: 0,
            already_there: first.imported
        }
    );
}
