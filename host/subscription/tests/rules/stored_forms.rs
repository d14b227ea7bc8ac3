//! What is written down can be read back: names in tables, JSON in columns.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use subscription::{
    Consistency, Criteria, Descriptor, ErrorClass, Input, Kind, RetryPolicy, RunMode, Status,
    SubscriberId, Verdict,
};

use crate::{patterns, projector, types};

fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("it can be written");
    let back: T = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(&back, value, "{text}");
    text
}

#[test]
fn every_status_comes_back_from_its_parts() {
    for status in Status::all() {
        let resume = status.resume().map(subscription::Resume::name);
        assert_eq!(Status::from_parts(status.name(), resume), Some(status));
        assert_round_trip(&status);
    }
}

#[test]
fn parts_that_no_status_has_are_refused() {
    for (name, resume) in [
        ("Paused", None),
        ("Active", Some("Active")),
        ("Error", Some("Finished")),
        ("active", None),
        ("", None),
    ] {
        assert_eq!(Status::from_parts(name, resume), None, "{name} {resume:?}");
    }
}

#[test]
fn every_run_mode_comes_back_from_its_parts() {
    for mode in [
        RunMode::FromBeginning,
        RunMode::FromNow,
        RunMode::Once,
        RunMode::FromPosition(7),
    ] {
        assert_eq!(
            RunMode::from_parts(mode.name(), mode.position()),
            Some(mode)
        );
        assert_round_trip(&mode);
    }
    for (name, position) in [("from-position", None), ("once", Some(1)), ("Once", None)] {
        assert_eq!(
            RunMode::from_parts(name, position),
            None,
            "{name} {position:?}"
        );
    }
}

#[test]
fn names_read_back_and_agree_with_json() {
    for class in ErrorClass::all() {
        assert_eq!(ErrorClass::parse(class.as_str()), Some(class));
        assert_eq!(assert_round_trip(&class), format!("\"{class}\""));
        assert_eq!(class.costs_attempt(), class != ErrorClass::Unavailable);
    }
    for kind in [Kind::Projector, Kind::Processor] {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        assert_eq!(assert_round_trip(&kind), format!("\"{kind}\""));
    }
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        assert_eq!(Consistency::parse(consistency.as_str()), Some(consistency));
        assert_eq!(
            assert_round_trip(&consistency),
            format!("\"{consistency}\"")
        );
    }
    assert_eq!(
        (
            ErrorClass::parse("Trap"),
            Kind::parse(""),
            Consistency::parse("")
        ),
        (None, None, None)
    );
}

#[test]
fn inputs_verdicts_policies_and_criteria_read_back() {
    for input in Input::all() {
        assert_round_trip(&input);
    }
    for verdict in [Verdict::Retry { after_ms: 7 }, Verdict::Skip, Verdict::Stop] {
        assert_round_trip(&verdict);
    }
    assert_round_trip(&RetryPolicy::default());
    assert_round_trip(&Criteria {
        ids: vec!["a_1".to_owned()],
        groups: vec![],
    });
}

#[test]
fn a_descriptor_is_stored_in_this_form() {
    let mut filter = types(&["Opened", "Money*"]);
    filter.0[0].tags = patterns(&["eu"]);
    let guest = Descriptor {
        filter,
        run_mode: RunMode::FromPosition(17),
        options: vec![("retry-attempts".to_owned(), "2".to_owned())],
        ..projector("accounts_2")
    };
    insta::assert_snapshot!(assert_round_trip(&guest));
}

#[test]
fn a_bad_id_is_not_read() {
    let read = |text: &str| serde_json::from_str::<SubscriberId>(text);
    assert!(read("\"accounts_1\"").is_ok());
    assert!(read("\"mailer\"").is_ok());
    let refused = read("\"pg_1\"").expect_err("reserved").to_string();
    assert!(refused.contains("choose another name"), "{refused}");
}
