//! How subscriptions stop, go on and go: from every status, with the guest's own teardown, and without its file.

use projectionist::admin::{self, Change, Done, OnFailure, Removal};
use projectionist::engine::{Manner, StartAt};
use projectionist::guest::Runtime;
use subscription::{Input, Next, Resume, RunMode, Status};

use crate::support::log::only;
use crate::support::modules::compiler;
use crate::support::obeys::{Manners, Script};
use crate::support::rows::{bring, projector, register};
use crate::support::stage::{Stage, poison};
use crate::support::{PATIENCE, TestDatabase};

const ID: &str = "obeys_aa_1";
const OTHER: &str = "obeys_ab_1";

fn refusing() -> Script {
    Script {
        teardown: Manners::Fails,
        ..Script::projector(ID)
    }
}

fn removal(database: &TestDatabase) -> Removal {
    Removal {
        store: database.store(),
        runtime: Runtime::new().expect("a runtime"),
        compiler: compiler(),
        lane_patience: PATIENCE,
    }
}

impl Stage {
    async fn reactivated(&self) -> Change {
        let changes = admin::reactivate(&self.database.store(), &only(ID)).await;
        changes.expect("an answer").remove(0)
    }

    async fn torn_down(&self, on_failure: OnFailure) -> Change {
        let change = removal(&self.database).teardown(ID, on_failure).await;
        change.expect("an answer")
    }

    /// Its file is gone, and the host has seen that.
    async fn detached(&mut self) {
        self.modules.remove(&format!("{ID}.wasm"));
        self.host.scan().await.expect("looked");
        assert!(self.stands(ID).await.0.starts_with("Detached"));
    }
}

fn stands(status: &str, position: i64) -> (String, i64) {
    (status.to_owned(), position)
}

#[tokio::test]
async fn a_guest_that_is_gone_is_detached_whatever_its_status() {
    let statuses: Vec<Status> = Status::all()
        .into_iter()
        .filter(|status| !matches!(status, Status::Detached(_)))
        .collect();
    let ids: Vec<String> = ('a'..)
        .take(statuses.len())
        .map(|c| format!("obeys_a{c}_1"))
        .collect();
    // Only what runs once can be Finished.
    let once = |id: &String| Script {
        mode: "once",
        ..Script::projector(id)
    };
    let scripts: Vec<Script> = ids.iter().map(once).collect();
    let mut stage = Stage::registered(&scripts, 2).await;
    let store = stage.database.store();
    for (id, status) in ids.iter().zip(&statuses) {
        bring(&store, id, *status).await;
        stage.modules.remove(&format!("{id}.wasm"));
    }

    stage.host.scan().await.expect("looked");

    for (id, status) in ids.iter().zip(statuses) {
        let expected = status.on(Input::GuestMissing, RunMode::Once);
        let Ok(Next::Status(expected)) = expected else {
            panic!("{status} can be detached")
        };
        assert_eq!(
            stage.stands(id).await,
            (expected.to_string(), 0),
            "it was {status}"
        );
    }
}

#[tokio::test]
async fn one_guest_that_is_gone_hinders_no_other() {
    let scripts = [Script::projector(ID), Script::projector(OTHER)];
    let mut stage = Stage::registered(&scripts, 1).await;
    // It is New and its file is gone.
    stage.modules.remove(&format!("{ID}.wasm"));
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, stands("Detached(New)", 0));
    assert_eq!(stage.stands(OTHER).await, stands("Active", 1));
}

#[tokio::test]
async fn an_error_goes_back_to_where_it_happened_with_a_fresh_count() {
    let fails_in_setup = Script {
        setup: Manners::Fails,
        ..Script::projector(ID)
    };
    let good = || Script::projector(ID);
    for (script, manner, before, after, position) in [
        (fails_in_setup, Manner::Usual, "Error(New)", "New", 0),
        (good(), Manner::Usual, "Error(Booting)", "Booting", 1),
        (good(), Manner::SkipBoot, "Error(Active)", "Active", 1),
    ] {
        let mut stage = Stage::registered(&[script], 1).await;
        stage.database.append("s", &[poison("stop")]).await;
        let set_up = stage
            .host
            .set_up(&[ID.to_owned()], StartAt::Unchanged, manner)
            .await;
        set_up.expect("an answer");
        stage.catch_up().await;
        assert_eq!(stage.stands(ID).await, stands(before, position));

        let change = stage.reactivated().await;

        assert_eq!(change.result, Done::Done, "{change:?}");
        assert_eq!(stage.stands(ID).await, stands(after, position));
        assert!(stage.database.error(ID).await.is_none(), "{before}");
    }
}

#[tokio::test]
async fn what_was_stopped_without_an_error_goes_on_where_it_stopped() {
    let once = Script {
        mode: "once",
        ..Script::projector(ID)
    };
    let mut stage = Stage::registered(&[once], 2).await;
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, stands("Finished", 2));
    stage.reactivated().await;
    assert_eq!(stage.stands(ID).await, stands("Active", 2), "from Finished");

    let mut stage = Stage::registered(&[Script::projector(ID)], 2).await;
    stage.catch_up().await;
    let paused = admin::pause(&stage.database.store(), &only(ID)).await;
    paused.expect("paused");
    stage.reactivated().await;
    assert_eq!(stage.stands(ID).await, stands("Active", 2), "from Paused");
    stage.detached().await;
    stage.reactivated().await;
    assert_eq!(stage.stands(ID).await, stands("Active", 2), "from Detached");
    stage.database.append_ticks(1).await;
    stage.catch_up().await;
    assert_eq!(stage.handled(ID).await, [1, 2, 3], "from its stored bytes");
}

#[tokio::test]
async fn pausing_keeps_the_error_and_reactivating_forgets_it() {
    let mut stage = Stage::registered(&[Script::projector(ID)], 1).await;
    stage.database.append("s", &[poison("stop")]).await;
    stage.catch_up().await;

    let paused = admin::pause(&stage.database.store(), &only(ID)).await;

    assert_eq!(paused.expect("an answer")[0].result, Done::Done);
    assert_eq!(stage.stands(ID).await, stands("Paused(Booting)", 1));
    let error = stage.database.error(ID).await.expect("it is kept");
    assert_eq!((error.position, error.attempts), (Some(2), 1));
    stage.reactivated().await;
    assert_eq!(stage.stands(ID).await, stands("Booting", 1));
    assert!(stage.database.error(ID).await.is_none());
}

#[tokio::test]
async fn a_teardown_needs_no_file() {
    let mut stage = Stage::registered(&[Script::projector(ID)], 1).await;
    stage.catch_up().await;
    stage.detached().await;

    let change = stage.torn_down(OnFailure::Keep).await;

    assert_eq!(change.result, Done::Done, "{change:?}");
    assert!(!stage.is_there(ID).await);
}

#[tokio::test]
async fn a_teardown_that_cannot_run_keeps_the_row_unless_forced() {
    let database = TestDatabase::new().await;
    let store = database.store();
    // The bytes that are stored are no module that this host can run.
    register(&store, projector(ID), Status::Detached(Resume::Active)).await;
    let removal = removal(&database);

    let kept = removal
        .teardown(ID, OnFailure::Keep)
        .await
        .expect("an answer");
    assert_eq!(kept.result, Done::Failed, "{kept:?}");
    assert_eq!(database.status(ID).await, "Detached(Active)");
    let dropped = removal
        .teardown(ID, OnFailure::Drop)
        .await
        .expect("an answer");
    assert_eq!(dropped.result, Done::Done, "{dropped:?}");
    let row = store.subscription(ID).await;
    assert!(row.expect("an answer").is_none());
}

#[tokio::test]
async fn a_teardown_runs_only_where_a_setup_ran() {
    let stage = Stage::registered(&[refusing()], 1).await;
    let removed = removal(&stage.database)
        .remove(ID)
        .await
        .expect("an answer");
    assert_eq!((removed.result, removed.reason), (Done::Done, None));
    assert!(!stage.is_there(ID).await);

    let mut stage = Stage::registered(&[refusing()], 1).await;
    stage.catch_up().await;
    let removed = removal(&stage.database)
        .remove(ID)
        .await
        .expect("an answer");
    assert_eq!(removed.result, Done::Done);
    let failure = removed.failure.expect("its teardown was run, and failed");
    assert_eq!(failure.message, "teardown does not want to");
    assert!(!stage.is_there(ID).await, "removing always drops");
}

#[tokio::test]
async fn what_is_removed_while_its_file_is_there_is_built_anew() {
    let mut stage = Stage::registered(&[Script::projector(ID)], 2).await;
    stage.catch_up().await;
    let removed = removal(&stage.database)
        .remove(ID)
        .await
        .expect("an answer");
    assert_eq!(removed.result, Done::Done, "{removed:?}");
    assert!(!stage.is_there(ID).await);

    stage.catch_up().await;

    assert_eq!(stage.stands(ID).await, stands("Active", 2));
    assert_eq!(stage.handled(ID).await, [1, 2]);
}
