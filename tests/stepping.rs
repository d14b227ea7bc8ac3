//! What one catch-up does, in each status: which events are handed over, where it ends, and what is left as it is.

use projectionist::engine::{CaughtUp, Manner, Outcome, StartAt, Stepped};
use projectionist::store::{Batch, Durability, Grant, LaneError, LaneKey, NewEvent, Opening};
use serde_json::json;

use crate::support::log::{event, only};
use crate::support::obeys::Script;
use crate::support::stage::{Stage, poison};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, Writer, eventually, stepped};

const ID: &str = "obeys_aa_1";
const OTHER: &str = "obeys_ab_1";
const PROCESSOR: &str = "answers_aa";

fn beginning() -> Script {
    Script::projector(ID)
}

fn once() -> Script {
    Script {
        mode: "once",
        ..beginning()
    }
}

impl Stage {
    /// Guests that are set up and have handled nothing yet.
    async fn booting(scripts: &[Script], ticks: usize) -> Stage {
        Stage::set_up(scripts, ticks, Manner::Usual).await
    }

    /// The same, with no history to boot from.
    async fn active(scripts: &[Script], ticks: usize) -> Stage {
        Stage::set_up(scripts, ticks, Manner::SkipBoot).await
    }

    async fn set_up(scripts: &[Script], ticks: usize, manner: Manner) -> Stage {
        let mut stage = Stage::registered(scripts, ticks).await;
        let ids: Vec<String> = scripts.iter().map(|script| script.id.clone()).collect();
        let done = stage.host.set_up(&ids, StartAt::Unchanged, manner).await;
        for done in done.expect("an answer") {
            assert!(matches!(done.outcome, Outcome::Done), "{done:?}");
        }
        stage
    }

    async fn boot(&mut self, limit: Option<u32>) -> Stepped {
        let booted = self.host.boot(&[ID.to_owned()], limit).await;
        booted.expect("an answer").remove(0)
    }

    async fn run(&mut self, limit: Option<u32>) -> CaughtUp {
        self.host.once_at_most(limit).await.expect("caught up")
    }
}

fn stands(status: &str, position: i64) -> (String, i64) {
    (status.to_owned(), position)
}

#[tokio::test]
async fn where_nothing_boots_booting_does_nothing() {
    let mut stage = Stage::active(&[beginning()], 1).await;

    let none = stage.host.boot(&[], None).await.expect("an answer");
    let refused = stage.boot(None).await;

    assert!(none.is_empty());
    assert!(
        matches!(refused.outcome, Outcome::Illegal(_)),
        "{refused:?}"
    );
    assert_eq!(stage.stands(ID).await, stands("Active", 0));
    assert_eq!(stage.handled(ID).await, [0; 0]);
}

#[tokio::test]
async fn booting_handles_history_and_ends_active_at_the_end_of_the_log() {
    let mut stage = Stage::booting(&[beginning()], 1).await;
    let booted = stage.boot(None).await;
    assert!(matches!(booted.outcome, Outcome::Done), "{booted:?}");
    assert_eq!(booted.events, 1);
    assert_eq!(stage.stands(ID).await, stands("Active", 1));
    assert_eq!(stage.handled(ID).await, [1]);
    assert!(
        !stage.written::<bool>(ID, "live", 1).await,
        "history is not live"
    );
}

#[tokio::test]
async fn a_failure_while_booting_keeps_its_place() {
    let mut stage = Stage::booting(&[beginning()], 0).await;
    stage.database.append("s", &[poison("stop")]).await;
    let booted = stage.boot(None).await;
    assert!(matches!(booted.outcome, Outcome::Failed(_)), "{booted:?}");
    assert_eq!(stage.stands(ID).await, stands("Error(Booting)", 0));
}

#[tokio::test]
async fn booting_with_a_limit_goes_on_where_it_stopped() {
    let mut stage = Stage::booting(&[beginning()], 2).await;

    let first = stage.boot(Some(1)).await;
    assert!(matches!(first.outcome, Outcome::Limited), "{first:?}");
    assert_eq!(stage.stands(ID).await, stands("Booting", 1));
    assert_eq!(stage.handled(ID).await, [1]);

    let second = stage.boot(None).await;
    assert!(matches!(second.outcome, Outcome::Done), "{second:?}");
    assert_eq!(second.events, 1, "nothing is handled twice");
    assert_eq!(stage.stands(ID).await, stands("Active", 2));
}

#[tokio::test]
async fn each_subscription_is_handed_what_is_behind_its_own_checkpoint() {
    for (manner, status) in [(Manner::Usual, "Booting"), (Manner::SkipBoot, "Active")] {
        let scripts = [beginning(), Script::projector(OTHER)];
        let mut stage = Stage::registered(&scripts, 1).await;
        for (id, start) in [(ID, StartAt::After(0)), (OTHER, StartAt::After(1))] {
            let done = stage.host.set_up(&[id.to_owned()], start, manner).await;
            done.expect("an answer");
        }
        assert_eq!(stage.stands(OTHER).await, stands(status, 1));

        stage.run(None).await;

        assert_eq!(stage.handled(ID).await, [1]);
        assert_eq!(stage.handled(OTHER).await, [0; 0]);
        for id in [ID, OTHER] {
            assert_eq!(stage.stands(id).await, stands("Active", 1), "{id}");
        }
    }
}

#[tokio::test]
async fn a_hole_in_the_log_is_passed() {
    let mut stage = Stage::booting(&[beginning()], 1).await;
    assert_eq!(Writer::waste_one(&stage.database).await, 2);
    stage.database.append_ticks(1).await;

    stage.boot(None).await;

    assert_eq!(stage.handled(ID).await, [1, 3]);
    assert_eq!(stage.stands(ID).await, stands("Active", 3));
}

#[tokio::test]
async fn what_runs_once_is_finished_at_the_end_of_its_history() {
    let mut stage = Stage::booting(&[once()], 1).await;
    stage.boot(None).await;
    assert_eq!(stage.stands(ID).await, stands("Finished", 1));
    stage.database.append_ticks(1).await;
    let caught_up = stage.run(None).await;
    assert_eq!(caught_up.events, 0, "it has had its events");
    assert_eq!(stage.stands(ID).await, stands("Finished", 1));
}

#[tokio::test]
async fn what_runs_once_is_finished_from_active_too() {
    let mut stage = Stage::active(&[once()], 1).await;
    stage.run(None).await;
    assert_eq!(stage.stands(ID).await, stands("Finished", 1));
    assert_eq!(stage.handled(ID).await, [1]);
}

#[tokio::test]
async fn an_event_that_nobody_wants_moves_the_checkpoint() {
    let ticks_alone = Script {
        filter: "ticks",
        ..beginning()
    };
    let mut stage = Stage::booting(&[ticks_alone], 1).await;
    let others = [NewEvent::new("Other"), NewEvent::new("Other")];
    stage.database.append("s", &others).await;
    let caught_up = stage.run(None).await;
    assert_eq!(caught_up.events, 1);
    assert_eq!(stage.handled(ID).await, [1]);
    assert_eq!(stage.stands(ID).await, stands("Active", 3));
}

#[tokio::test]
async fn an_active_subscription_handles_what_is_new_and_nothing_twice() {
    let mut stage = Stage::active(&[beginning()], 1).await;
    let first = stage.run(None).await;
    assert_eq!((first.events, first.limited.len()), (1, 0));
    assert_eq!(stage.stands(ID).await, stands("Active", 1));

    let again = stage.run(None).await;

    assert_eq!(again.events, 0);
    assert_eq!(stage.written::<i64>(ID, "times", 1).await, 1);
}

#[tokio::test]
async fn a_limit_leaves_the_rest_for_the_next_run() {
    let mut stage = Stage::active(&[beginning()], 25).await;
    let mut rounds = Vec::new();
    while rounds.len() < 4 {
        let round = stage.run(Some(10)).await;
        rounds.push((round.events, round.limited.contains(&ID.to_owned())));
    }
    assert_eq!(rounds, [(10, true), (10, true), (5, false), (0, false)]);
    assert_eq!(stage.stands(ID).await, stands("Active", 25));
    let all: Vec<i64> = (1..=25).collect();
    assert_eq!(stage.handled(ID).await, all);
}

#[tokio::test]
async fn a_failure_while_active_keeps_its_place_and_others_go_on() {
    let mut stage = Stage::active(&[beginning(), Script::projector(OTHER)], 0).await;
    let harmful = event("Poison", &json!({"verdict": "stop", "harms": [ID]}));
    stage.database.append("s", &[harmful]).await;
    stage.run(None).await;
    assert_eq!(stage.stands(ID).await, stands("Error(Active)", 0));
    assert_eq!(stage.handled(ID).await, [0; 0]);
    assert_eq!(stage.stands(OTHER).await, stands("Active", 1));
}

/// The error of a guest that meets this event, which is read back as it was written down.
async fn error_at(poison: &serde_json::Value) -> LaneError {
    let mut stage = Stage::active(&[beginning()], 0).await;
    stage.database.append("s", &[event("Poison", poison)]).await;
    stage.run(None).await;
    assert_eq!(stage.stands(ID).await, stands("Error(Active)", 0));
    stage.database.error(ID).await.expect("an error")
}

#[tokio::test]
async fn a_long_error_is_written_down_and_read_back_within_limits() {
    let long = error_at(&json!({"verdict": "stop", "padding_bytes": 4_000})).await;
    let whole = format!("poison at position 1{}", "x".repeat(4_000));
    assert_eq!(long.message, whole);

    let too_long = error_at(&json!({"verdict": "stop", "padding_bytes": 600_000})).await;
    assert!(too_long.message.starts_with("poison at position 1x"));
    let kept = too_long.message.len();
    assert!((4_000..600_000).contains(&kept), "{kept} bytes are kept");

    let deep = error_at(&json!({"verdict": "deep", "padding_bytes": 100_000})).await;
    let backtrace = deep.backtrace.expect("a backtrace");
    assert!(backtrace.contains("fall"), "{backtrace}");
    assert!(backtrace.len() < 100_000, "{} bytes", backtrace.len());
}

#[tokio::test]
async fn what_rests_is_handed_nothing() {
    let mut stage = Stage::active(&[beginning()], 0).await;
    let paused = projectionist::admin::pause(&stage.database.store(), &only(ID)).await;
    paused.expect("paused");
    stage.database.append_ticks(2).await;
    let caught_up = stage.run(None).await;
    assert_eq!((caught_up.events, caught_up.horizon), (0, 2));
    assert_eq!(stage.stands(ID).await, stands("Paused(Active)", 0));
}

#[tokio::test]
async fn the_whole_history_comes_in_the_order_of_the_log() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(10).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    // This guest counts as it goes, so another order would show.
    let seen = database.until_all_seen_once("records_1").await;
    assert_eq!(seen.len(), 10);
}

#[tokio::test]
async fn a_processor_is_handed_no_event_before_the_one_before_it_is_committed() {
    let mut stage = Stage::active(&[Script::processor(PROCESSOR)], 0).await;
    let command = event("Command", &json!({}));
    let stuck = [command.clone(), poison("stop"), command];
    stage.database.append("orders", &stuck).await;
    stage.run(None).await;
    assert_eq!(stage.stands(PROCESSOR).await, stands("Error(Active)", 1));
    assert_eq!(stage.handled(PROCESSOR).await, [1]);
}

#[tokio::test]
async fn a_lane_that_somebody_else_holds_is_left_until_it_is_free() {
    let stage = Stage::active(&[beginning()], 0).await;
    let key = LaneKey {
        subscription: ID.to_owned(),
        lane: 0,
    };
    let store = stage.database.store();
    let opening = Batch::open(&store, &key, Grant::Handle, Durability::Durable).await;
    let Ok(Opening::Opened(held)) = opening else {
        panic!("the lane is free")
    };
    stage.database.append_ticks(3).await;
    let watched = Script::projector(OTHER);
    stage.modules.put_script("watched.wasm", &watched);
    let _host = InProcess::start(&stage.database, &stage.modules).await;
    // The other one is through, so the host has had its chance.
    stage.database.until_status(OTHER, "Active").await;
    assert_eq!(stage.handled(ID).await, [0; 0]);
    assert!(
        stage.database.error(ID).await.is_none(),
        "that is no failure"
    );

    held.rollback().await.expect("let go");

    eventually(PATIENCE, async || {
        match stage.handled(ID).await.as_slice() {
            [1, 2, 3] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
