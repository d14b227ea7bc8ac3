//! How a subscription begins: known at the first look, set up once, and from where in the log.

use projectionist::engine::{Manner, Outcome, StartAt};
use projectionist::store::Store;
use subscription::Criteria;

use crate::support::obeys::{Manners, Script};
use crate::support::stage::Stage;
use crate::support::{Modules, TestDatabase, stepped};

const ID: &str = "obeys_aa_1";
const OTHER: &str = "obeys_ab_1";

fn beginning() -> Script {
    Script::projector(ID)
}

fn from_now() -> Script {
    Script {
        mode: "now",
        ..beginning()
    }
}

async fn known(store: &Store) -> Vec<(String, String)> {
    let rows = store.subscriptions().await.expect("rows").into_iter();
    rows.map(|row| (row.id, row.status.to_string())).collect()
}

/// Sets one subscription up, and says how that ended.
async fn set_up(stage: &mut Stage, manner: Manner) -> Outcome {
    let ids = [ID.to_owned()];
    let done = stage.host.set_up(&ids, StartAt::Unchanged, manner).await;
    done.expect("an answer").remove(0).outcome
}

#[tokio::test]
async fn without_guests_nothing_is_registered_and_nothing_fails() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    database.append_ticks(2).await;
    let mut host = stepped(&database, &modules).await;

    host.register().await.expect("looked");
    let done = host.set_up(&[], StartAt::Unchanged, Manner::Usual).await;
    let caught_up = host.once().await.expect("caught up");

    assert!(done.expect("an answer").is_empty());
    assert_eq!(caught_up.events, 0);
    assert_eq!(known(&database.store()).await, []);
}

#[tokio::test]
async fn a_guest_is_known_as_new_from_the_first_look_on() {
    let stage = Stage::registered(&[beginning()], 1).await;
    assert_eq!(stage.stands(ID).await, ("New".to_owned(), 0));
    assert!(!stage.has_tables(ID).await, "nothing has run yet");
}

#[tokio::test]
async fn only_a_look_at_the_directory_makes_a_guest_known() {
    let mut stage = Stage::with(&[beginning()]).await;
    let store = stage.database.store();
    let everything = Criteria::default();

    let status = projectionist::admin::status(&store, &everything).await;
    assert!(status.expect("a report").subscriptions.is_empty());
    let paused = projectionist::admin::pause(&store, &everything).await;
    assert!(paused.expect("an answer").is_empty());
    let ids = [ID.to_owned()];
    let set_up = stage
        .host
        .set_up(&ids, StartAt::Unchanged, Manner::Usual)
        .await;
    assert!(set_up.expect("an answer").is_empty());
    let booted = stage.host.boot(&ids, None).await;
    assert!(booted.expect("an answer").is_empty());
    assert_eq!(known(&store).await, []);

    stage.host.register().await.expect("looked");
    assert_eq!(known(&store).await, [(ID.to_owned(), "New".to_owned())]);
}

#[tokio::test]
async fn from_now_means_the_end_of_the_log_at_the_first_look() {
    let mut stage = Stage::registered(&[from_now()], 5).await;
    assert_eq!(stage.stands(ID).await, ("New".to_owned(), 5));
    stage.database.append_ticks(2).await;

    assert!(matches!(
        set_up(&mut stage, Manner::Usual).await,
        Outcome::Done
    ));

    assert_eq!(
        stage.stands(ID).await,
        ("Active".to_owned(), 5),
        "it has nothing to boot"
    );
    stage.catch_up().await;
    assert_eq!(stage.handled(ID).await, [6, 7]);
}

#[tokio::test]
async fn from_now_in_an_empty_log_is_its_beginning() {
    let mut stage = Stage::registered(&[from_now()], 0).await;
    assert!(matches!(
        set_up(&mut stage, Manner::Usual).await,
        Outcome::Done
    ));
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 0));
    stage.database.append_ticks(1).await;
    stage.catch_up().await;
    assert_eq!(stage.handled(ID).await, [1]);
}

#[tokio::test]
async fn a_guest_without_a_setup_boots_like_any_other() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["waits"]));
    let mut host = stepped(&database, &modules).await;
    host.scan().await.expect("looked");
    let ids = ["waits_aa_1".to_owned()];
    let done = host.set_up(&ids, StartAt::Unchanged, Manner::Usual).await;
    assert!(matches!(done.expect("an answer")[0].outcome, Outcome::Done));
    assert_eq!(database.status("waits_aa_1").await, "Booting");
    assert_eq!(database.position("waits_aa_1").await, 0);
}

#[tokio::test]
async fn a_setup_runs_once_and_leads_to_booting() {
    let mut stage = Stage::registered(&[beginning()], 1).await;

    assert!(matches!(
        set_up(&mut stage, Manner::Usual).await,
        Outcome::Done
    ));

    assert_eq!(stage.stands(ID).await, ("Booting".to_owned(), 0));
    assert!(stage.has_tables(ID).await);
    assert_eq!(stage.handled(ID).await, [0; 0], "no event is handled by it");
    // A second run would fail, since the table is there.
    assert!(matches!(
        set_up(&mut stage, Manner::Usual).await,
        Outcome::Illegal(_)
    ));
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 1));
}

#[tokio::test]
async fn a_setup_that_fails_is_told_and_no_event_is_handled() {
    let broken = Script {
        setup: Manners::Fails,
        ..beginning()
    };
    let good = Script::projector(OTHER);
    let mut stage = Stage::registered(&[broken, good], 1).await;

    let Outcome::Failed(message) = set_up(&mut stage, Manner::Usual).await else {
        panic!("its setup fails")
    };
    stage.catch_up().await;

    assert_eq!(message, "setup does not want to");
    assert_eq!(stage.stands(ID).await, ("Error(New)".to_owned(), 0));
    assert!(!stage.has_tables(ID).await, "nothing of it stays");
    assert_eq!(stage.handled(OTHER).await, [1], "the others go on");
}

#[tokio::test]
async fn booting_can_be_left_out() {
    let mut stage = Stage::registered(&[beginning()], 2).await;

    assert!(matches!(
        set_up(&mut stage, Manner::SkipBoot).await,
        Outcome::Done
    ));

    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 0));
    stage.catch_up().await;
    assert_eq!(stage.handled(ID).await, [1, 2]);
    assert!(
        stage.written::<bool>(ID, "live", 1).await,
        "it is told that it is live"
    );
}

fn after(mode: &'static str) -> Script {
    Script {
        mode,
        ..beginning()
    }
}

#[tokio::test]
async fn an_explicit_position_is_the_last_that_is_left_out() {
    let mut stage = Stage::registered(&[after("after-3")], 5).await;
    assert_eq!(stage.stands(ID).await, ("New".to_owned(), 3));

    stage.catch_up().await;

    assert_eq!(stage.handled(ID).await, [4, 5]);
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 5));
}

#[tokio::test]
async fn a_position_that_the_log_has_not_come_to_is_waited_for() {
    let mut stage = Stage::registered(&[after("after-7")], 5).await;
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 7));
    stage.database.append_ticks(1).await;
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 7));

    stage.database.append_ticks(3).await;
    stage.catch_up().await;

    assert_eq!(stage.handled(ID).await, [8, 9]);
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 9));
}

#[tokio::test]
async fn an_operator_may_choose_a_position_that_the_log_has_not_come_to() {
    let mut stage = Stage::registered(&[beginning()], 2).await;
    let ids = [ID.to_owned()];
    let done = stage
        .host
        .set_up(&ids, StartAt::After(4), Manner::Usual)
        .await;
    assert!(matches!(
        done.expect("an answer").remove(0).outcome,
        Outcome::Done
    ));
    stage.catch_up().await;
    assert_eq!(stage.stands(ID).await, ("Active".to_owned(), 4));

    stage.database.append_ticks(4).await;
    stage.catch_up().await;

    assert_eq!(stage.handled(ID).await, [5, 6]);
}
