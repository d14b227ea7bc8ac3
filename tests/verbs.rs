//! The verbs as a person types them: what is printed where, and the exit code.

use std::path::Path;

use subscription::Status;
use tempfile::TempDir;

use crate::support::command::{projectionist, seen, shown};
use crate::support::rows::{self, projector};
use crate::support::{TestDatabase, guests};

async fn register(database: &TestDatabase, id: &str, status: Status) {
    rows::register(&database.store(), projector(id), status).await;
}

#[tokio::test]
async fn operators_see_what_was_done_and_what_was_not() {
    let database = TestDatabase::new().await;
    register(&database, "accounts_1", Status::Active).await;
    register(&database, "orders_1", Status::New).await;
    let mut text = String::new();
    for words in [
        &["pause"] as &[&str],
        &["pause", "--id", "accounts_1", "--id", "orders_1"],
        &["reactivate", "--id", "accounts_1", "--json"],
        &["pause", "--id", "acounts_1"],
        &["teardown", "--id", "accounts_1", "--yes"],
        &["remove"],
        &["remove", "--id", "orders_1"],
        &["remove", "--all", "--yes"],
        &["pause"],
    ] {
        text.push_str(&shown(&database, words).await);
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn status_is_a_table_or_json() {
    let database = TestDatabase::new().await;
    let mut text = shown(&database, &["status"]).await;
    register(&database, "accounts_1", Status::Active).await;
    text.push_str(&shown(&database, &["status"]).await);
    insta::assert_snapshot!(text);

    let output = projectionist(Some(database.url()), &["status", "--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["subscriptions"][0]["id"], "accounts_1");
}

#[tokio::test]
async fn a_database_without_a_log_is_told_how_to_get_one() {
    let database = TestDatabase::new().await;
    let drop = sqlx::raw_sql("DROP SCHEMA projectionist CASCADE");
    drop.execute(database.pool()).await.expect("dropped");
    insta::assert_snapshot!(shown(&database, &["status"]).await);
}

fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

/// Without what differs from one build to the next.
fn steady(text: &str, directory: &Path) -> String {
    let mut steady = String::new();
    for line in text
        .replace(&directory.display().to_string(), "DIR")
        .lines()
    {
        let unsteady = ["  size ", "  sha256 ", "  compiled "];
        match unsteady.iter().find(|start| line.starts_with(**start)) {
            Some(start) => steady.push_str(&format!("{start}...\n")),
            None => steady.push_str(&format!("{line}\n")),
        }
    }
    steady
}

#[tokio::test]
async fn check_says_what_a_module_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = directory.path().join("cache").display().to_string();
    let mut text = String::new();
    for name in ["applications", "followups"] {
        let bytes = std::fs::read(guests::path(name)).expect("the guest");
        let path = file(&directory, &format!("{name}.wasm"), &bytes);
        if name == "followups" {
            let settings = b"[settings]\nlimit = 3\n[limits]\nmemory-mib = 32\n";
            file(&directory, &format!("{name}.toml"), settings);
        }
        let output = projectionist(None, &["check", &path, "--cache-dir", &cache]).await;
        text.push_str(&seen(&output));
        text.push('\n');
    }
    insta::assert_snapshot!(steady(&text, directory.path()));
}

#[tokio::test]
async fn check_says_why_a_file_would_be_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = directory.path().join("cache").display().to_string();
    let good = std::fs::read(guests::path("records")).expect("the guest");
    let guest = |name: &str| std::fs::read(guests::path(name)).expect("the guest");
    let files = [
        ("garbage.wasm", b"hello".to_vec()),
        ("core.wasm", b"\0asm\x01\0\0\0".to_vec()),
        ("half.wasm", good[..good.len() / 2].to_vec()),
        ("wrong_world.wasm", guest("wrong_world")),
        ("opens_sockets.wasm", guest("opens_sockets")),
        ("appends_in_projector.wasm", guest("appends_in_projector")),
        ("bad_id.wasm", guest("bad_id")),
        ("traps_in_describe.wasm", guest("traps_in_describe")),
        ("bad_settings.wasm", good.clone()),
    ];
    file(&directory, "bad_settings.toml", b"[limits]\nmemory = 1\n");
    let mut text = String::new();
    for (name, bytes) in files {
        let path = file(&directory, name, &bytes);
        let output = projectionist(None, &["check", &path, "--cache-dir", &cache]).await;
        text.push_str(&seen(&output));
        text.push('\n');
    }
    let missing = directory.path().join("missing.wasm").display().to_string();
    let output = projectionist(None, &["check", &missing]).await;
    text.push_str(&seen(&output));
    insta::with_settings!({filters => guests::filters()}, {
        insta::assert_snapshot!(steady(&text, directory.path()));
    });

    let garbage = directory.path().join("garbage.wasm").display().to_string();
    let output = projectionist(None, &["check", &garbage, "--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["accepted"], false);
    assert_eq!(report["refusal"]["kind"], "not-wasm");
    assert_eq!(output.status.code(), Some(1));
}
