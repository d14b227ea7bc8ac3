//! Examining an installation: what is sound, what is not, and how to mend it.

use serde_json::Value;

use crate::support::TestDatabase;
use crate::support::command::projectionist;
use crate::support::process::{compiled_modules, modules};

/// What `doctor --json` says of this database, by what was looked at, and its exit code.
async fn examined(database: &TestDatabase) -> (Vec<Value>, Option<i32>) {
    let (directory, cache) = (modules(&["records"]), compiled_modules());
    let (directory, cache) = (
        directory.path().display().to_string(),
        cache.display().to_string(),
    );
    let words = [
        "doctor",
        "--json",
        "--modules",
        &directory,
        "--cache-dir",
        &cache,
    ];
    let output = projectionist(Some(database.url()), &words).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    (findings.collect(), output.status.code())
}

fn found<'a>(findings: &'a [Value], what: &str) -> &'a Value {
    findings
        .iter()
        .find(|finding| finding["what"] == what)
        .unwrap_or_else(|| panic!("{what} was not looked at: {findings:?}"))
}

#[tokio::test]
async fn a_sound_installation_has_nothing_bad() {
    let (findings, exit) = examined(&TestDatabase::new().await).await;

    assert_eq!(exit, Some(0), "{findings:?}");
    for what in [
        "deadlines",
        "compiler",
        "server",
        "event log",
        "safe order",
        "roles",
        "modules",
    ] {
        assert_eq!(found(&findings, what)["grade"], "good", "{findings:?}");
    }
}

#[tokio::test]
async fn what_is_bad_is_told_with_the_way_to_mend_it() {
    let database = TestDatabase::new().await;
    sqlx::raw_sql("ALTER SEQUENCE projectionist.events_position CACHE 10")
        .execute(database.pool())
        .await
        .expect("altered");

    let (findings, exit) = examined(&database).await;

    assert_eq!(exit, Some(1));
    let order = found(&findings, "safe order");
    assert_eq!(order["grade"], "bad");
    insta::assert_snapshot!(order["found"].as_str().expect("a text"));
    assert!(order["mend"].is_string());
}

#[tokio::test]
async fn a_database_without_a_log_is_told_to_be_migrated() {
    let database = TestDatabase::new().await;
    sqlx::raw_sql("DROP SCHEMA projectionist CASCADE")
        .execute(database.pool())
        .await
        .expect("dropped");

    let (findings, exit) = examined(&database).await;

    assert_eq!(exit, Some(1));
    let log = found(&findings, "event log");
    assert_eq!(
        (&log["grade"], &log["mend"]),
        (&"bad".into(), &"run `projectionist migrate`".into())
    );
}
