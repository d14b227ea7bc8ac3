//! What a failing handler makes of a chunk.

use crate::event;
use projectionist_sdk::prelude::*;

/// Fails at position 3 with `failure`.
fn failing_at_three(failure: impl Fn() -> Failure + 'static) -> Projector {
    Projector::new("accounts_1").on_any(move |position: Position| {
        if position.0 == 3 {
            Err(failure())
        } else {
            Ok(())
        }
    })
}

fn chunk() -> Vec<projectionist_sdk::bindings::projectionist::events::types::Event> {
    (1..=5)
        .map(|position| event(position, "Deposited", "{}"))
        .collect()
}

#[test]
fn counts_the_events_before_the_failing_one() {
    let failure =
        failing_at_three(|| Failure::skip("too odd").detail("amount", -5)).handle(chunk());
    let failure = failure.expect_err("the third event fails");
    assert_eq!(failure.handled, 2);
    assert_eq!(failure.verdict, Verdict::Skip);
    assert_eq!(failure.message, "too odd");
    assert_eq!(failure.details, [("amount".to_owned(), "-5".to_owned())]);
}

#[test]
fn a_question_mark_asks_for_another_try_and_keeps_the_causes() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("cannot read the amount")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let projector = Projector::new("accounts_1").on_any(|| -> Result {
        "x".parse::<i64>().map_err(Outer)?;
        Ok(())
    });
    let failure = projector
        .handle(chunk())
        .expect_err("the amount is no number");
    assert_eq!((failure.handled, failure.verdict), (0, Verdict::Retry(0)));
    assert_eq!(
        failure.message,
        "cannot read the amount: invalid digit found in string"
    );
}

#[test]
fn a_handler_may_return_its_own_error() {
    let projector = Projector::new("accounts_1").on_any(|| "x".parse::<i64>().map(|_| ()));
    assert_eq!(
        projector
            .handle(chunk())
            .expect_err("x is no number")
            .verdict,
        Verdict::Retry(0)
    );
}

#[test]
fn verdicts_are_handed_on() {
    let verdict = |failure: fn() -> Failure| {
        failing_at_three(failure)
            .handle(chunk())
            .expect_err("it fails")
            .verdict
    };
    assert_eq!(
        verdict(|| Failure::retry(5_000, "later")),
        Verdict::Retry(5_000)
    );
    assert_eq!(verdict(|| Failure::stop("no further")), Verdict::Stop);
}

#[test]
fn the_end_of_a_chunk_of_one_event_fails_like_its_handler() {
    let projector = Projector::new("accounts_1")
        .on_any(|| ())
        .after_chunk(|| Err::<(), _>(Failure::stop("cannot write")));
    let failure = projector
        .handle(vec![event(1, "Deposited", "{}")])
        .expect_err("the end fails");
    assert_eq!(
        (failure.handled, failure.message.as_str()),
        (0, "cannot write")
    );
}

#[test]
#[should_panic(expected = "after a chunk of 5 events: cannot write")]
fn the_end_of_a_longer_chunk_traps_so_that_the_host_looks_for_the_event() {
    let projector = Projector::new("accounts_1")
        .on_any(|| ())
        .after_chunk(|| Err::<(), _>(Failure::stop("cannot write")));
    projector
        .handle(chunk())
        .expect_err("it does not come so far");
}

/// What `projector` says about an event that broke it, at the second attempt.
fn verdict_of(projector: Projector) -> Verdict {
    let event = event(3, "Deposited", r#"{"amount": 5}"#);
    projector.recover(event, "the guest trapped: unreachable".to_owned(), 2)
}

#[test]
fn without_a_word_on_breakdowns_the_policy_decides() {
    let projector = Projector::new("accounts_1").on_any(|| ());
    assert_eq!(verdict_of(projector), Verdict::Retry(0));
}

#[test]
fn what_becomes_of_a_breakdown_is_decided_by_event_error_and_attempt() {
    #[derive(serde::Deserialize)]
    struct Deposited {
        amount: i64,
    }
    let decide = |event: Event<Deposited>, attempt: FailedAttempt, position: Position| {
        assert_eq!((event.amount, position.0), (5, 3));
        assert_eq!(attempt.error(), "the guest trapped: unreachable");
        match attempt.number() {
            2 => Verdict::Skip,
            _ => Verdict::Stop,
        }
    };
    let projector = Projector::new("accounts_1")
        .on_any(|| ())
        .on_failure(decide);
    assert_eq!(verdict_of(projector), Verdict::Skip);
}

#[test]
fn a_breakdown_whose_event_cannot_be_read_is_left_to_the_policy() {
    let projector = Projector::new("accounts_1")
        .on_any(|| ())
        .on_failure(|_: Event<String>| Verdict::Skip);
    assert_eq!(verdict_of(projector), Verdict::Retry(0));
}
