//! `--id` and `--group`: every verb takes those that are named, and leaves all others as they are.

use crate::support::command::{projectionist, seen};
use crate::support::obeys::Script;
use crate::support::process::compiled_modules;
use crate::support::stage::{Stage, poison};

const ONE: &str = "obeys_aa_1";
const TWO: &str = "obeys_ab_1";
const PROCESSOR: &str = "answers_aa";

/// Two ids, of which one is in the group: so exactly one subscription is meant.
const ONE_OF_THEM: [&str; 6] = ["--id", ONE, "--id", PROCESSOR, "--group", "projector"];

/// What a verb is called with beside its criteria.
enum Needs {
    Nothing,
    Compiler,
}

impl Stage {
    async fn verb(&self, words: &[&str], criteria: &[&str], needs: Needs) {
        let cache = compiled_modules().display().to_string();
        let mut all = [words, criteria].concat();
        if let Needs::Compiler = needs {
            all.extend(["--cache-dir", &cache]);
        }
        let output = projectionist(Some(self.database.url()), &all).await;
        let text = seen(&output);
        assert!(text.ends_with("exit 0"), "{words:?}: {text}");
    }

    /// Statuses in the order of the ids: of the processor, the first and the second projector.
    async fn statuses(&self) -> Vec<(String, String)> {
        let rows = self.database.store().subscriptions().await.expect("rows");
        let row = |row: projectionist::store::Subscription| (row.id, row.status.to_string());
        rows.into_iter().map(row).collect()
    }
}

fn are(statuses: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(id, status): &(&str, &str)| ((*id).to_owned(), (*status).to_owned());
    statuses.iter().map(own).collect()
}

/// Three guests that are known.
async fn three() -> Stage {
    let projectors = [ONE, TWO].map(Script::projector);
    let all = [&projectors[..], &[Script::processor(PROCESSOR)]].concat();
    Stage::registered(&all, 1).await
}

#[tokio::test]
async fn steps_by_hand_are_taken_for_those_that_are_named() {
    let stage = three().await;

    stage.verb(&["setup"], &ONE_OF_THEM, Needs::Compiler).await;
    let expected = [(PROCESSOR, "New"), (ONE, "Booting"), (TWO, "New")];
    assert_eq!(stage.statuses().await, are(&expected));
    stage
        .verb(&["setup"], &["--group", "projector"], Needs::Compiler)
        .await;
    let expected = [(PROCESSOR, "New"), (ONE, "Booting"), (TWO, "Booting")];
    assert_eq!(stage.statuses().await, are(&expected));
    stage.verb(&["boot"], &["--id", ONE], Needs::Compiler).await;
    let expected = [(PROCESSOR, "New"), (ONE, "Active"), (TWO, "Booting")];
    assert_eq!(stage.statuses().await, are(&expected));
}

#[tokio::test]
async fn intents_are_for_those_that_are_named() {
    let mut stage = three().await;
    stage.catch_up().await;

    stage.verb(&["pause"], &ONE_OF_THEM, Needs::Nothing).await;
    let expected = [
        (PROCESSOR, "Active"),
        (ONE, "Paused(Active)"),
        (TWO, "Active"),
    ];
    assert_eq!(stage.statuses().await, are(&expected));
    stage.verb(&["pause"], &[], Needs::Nothing).await;
    stage
        .verb(&["reactivate"], &ONE_OF_THEM, Needs::Nothing)
        .await;
    let expected = [
        (PROCESSOR, "Paused(Active)"),
        (ONE, "Active"),
        (TWO, "Paused(Active)"),
    ];
    assert_eq!(stage.statuses().await, are(&expected));
    stage.verb(&["reactivate"], &[], Needs::Nothing).await;
    stage.database.append("s", &[poison("stop")]).await;
    stage.catch_up().await;
    stage.verb(&["retry"], &ONE_OF_THEM, Needs::Nothing).await;
    let expected = [
        (PROCESSOR, "Error(Active)"),
        (ONE, "Active"),
        (TWO, "Error(Active)"),
    ];
    assert_eq!(stage.statuses().await, are(&expected));
}

#[tokio::test]
async fn what_drops_something_is_for_those_that_are_named() {
    let mut stage = three().await;
    stage.catch_up().await;

    let rewind = ["rewind", "--to", "0", "--yes"];
    stage.verb(&rewind, &ONE_OF_THEM, Needs::Compiler).await;
    let expected = [(PROCESSOR, "Active"), (ONE, "Booting"), (TWO, "Active")];
    assert_eq!(stage.statuses().await, are(&expected));
    for id in [ONE, TWO, PROCESSOR] {
        stage.modules.remove(&format!("{id}.wasm"));
    }
    stage.host.scan().await.expect("looked");
    stage
        .verb(&["teardown", "--yes"], &ONE_OF_THEM, Needs::Compiler)
        .await;
    let expected = [(PROCESSOR, "Detached(Active)"), (TWO, "Detached(Active)")];
    assert_eq!(stage.statuses().await, are(&expected));
    let processors = ["--id", TWO, "--id", PROCESSOR, "--group", "processor"];
    stage
        .verb(&["remove", "--yes"], &processors, Needs::Compiler)
        .await;
    assert_eq!(stage.statuses().await, are(&[(TWO, "Detached(Active)")]));
}
