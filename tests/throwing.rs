//! `run --throw`, for who writes a guest: the host ends with the first failure, and shows all of it.

use projectionist::store::NewEvent;
use serde_json::json;

use crate::support::TestDatabase;
use crate::support::command::typed;
use crate::support::log::event;
use crate::support::process::modules;

#[tokio::test]
async fn a_host_that_throws_ends_with_the_first_failure_and_shows_its_chain() {
    let database = TestDatabase::new().await;
    let modules = modules(&["fails_on_poison"]);
    database.append_ticks(2).await;
    let bad = event("Poison", &json!({"verdict": "retry"}));
    database.append("s", &[bad]).await;

    let said = typed(
        &database,
        &modules,
        &["run", "--once", "--throw", "--modules", "DIR"],
    )
    .await;

    insta::assert_snapshot!(said);
    let error = database.error("fails_on_poison_1").await.expect("recorded");
    assert_eq!((error.attempts, error.position), (1, Some(3)));
    assert_eq!(
        database.position("fails_on_poison_1").await,
        2,
        "what precedes it is kept"
    );
}

#[tokio::test]
async fn a_running_host_that_throws_stops_by_itself() {
    let database = TestDatabase::new().await;
    let modules = modules(&["traps_on_poison"]);
    database.append("s", &[NewEvent::new("Poison")]).await;

    let said = typed(&database, &modules, &["run", "--throw", "--modules", "DIR"]).await;

    assert!(said.ends_with("exit 1\n"), "{said}");
    let (_, error) = said.split_once("error: ").expect("an error");
    assert!(
        error.starts_with("traps_on_poison_1 failed at event 1 (Poison): trap\n"),
        "{said}"
    );
    assert!(
        error.contains("  because the guest panicked or aborted: "),
        "{said}"
    );
    assert!(error.contains("fell at position 1"), "{said}");
    assert!(error.contains("  because backtrace:\n"), "{said}");
    assert!(
        error.contains("guest/chunk-handler@0.1.0#handle-chunk"),
        "{said}"
    );
}

#[tokio::test]
async fn without_it_the_same_failure_is_told_and_the_host_goes_on() {
    let database = TestDatabase::new().await;
    let modules = modules(&["fails_on_poison", "records"]);
    let bad = event("Poison", &json!({"verdict": "stop"}));
    database.append("s", &[bad]).await;
    database.append_ticks(2).await;

    let said = typed(&database, &modules, &["run", "--once", "--modules", "DIR"]).await;

    insta::assert_snapshot!(said);
    assert_eq!(database.position("records_1").await, 3);
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_refused_with_what_is_allowed() {
    let database = TestDatabase::new().await;
    let modules = modules(&[]);
    let mut said = Vec::new();
    for policy in ["often", "billing:attempts=1001"] {
        let words = ["run", "--once", "--retry", policy, "--modules", "DIR"];
        said.push(typed(&database, &modules, &words).await);
    }

    insta::assert_snapshot!(said.join("\n"));
}
