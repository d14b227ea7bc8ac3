//! What a guest may say about itself.

use subscription::{
    CLAUSES_MAX, Clause, Descriptor, Filter, GROUP_BYTES_MAX, LANES_MAX, OPTIONS_MAX, PATTERNS_MAX,
    Pattern, RetryPolicy, RunMode,
};

use crate::{processor, projector, types};

fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn defaults_are_filled_in_by_kind() {
    let silent = |guest: Descriptor| {
        let guest = Descriptor {
            group: String::new(),
            partition_by: String::new(),
            lanes: 0,
            ..guest
        };
        guest.check().expect("silence is fine")
    };
    assert_eq!(silent(projector("a_1")), projector("a_1"));
    assert_eq!(silent(processor("a")), processor("a"));
    assert_eq!(
        (projector("a_1").group.as_str(), projector("a_1").run_mode),
        ("projector", RunMode::FromBeginning)
    );
    assert_eq!(
        (processor("a").group.as_str(), processor("a").run_mode),
        ("processor", RunMode::FromNow)
    );
}

#[test]
fn good_descriptors_pass() {
    let lanes = |partition: &str| Descriptor {
        partition_by: partition.to_owned(),
        lanes: LANES_MAX,
        ..projector("a_1")
    };
    let cases = [
        lanes("any"),
        lanes("stream"),
        lanes("tag:customer-"),
        lanes("data:/account/id"),
        lanes("data:/a~1b~0c/0"),
        Descriptor {
            run_mode: RunMode::FromPosition(0),
            ..projector("a_1")
        },
        Descriptor {
            group: "g".repeat(GROUP_BYTES_MAX),
            ..projector("a_1")
        },
        Descriptor {
            max_chunk: u32::MAX,
            ..projector("a_1")
        },
        Descriptor {
            options: options(&[("retry-attempts", "0"), ("from-the-future", "yes")]),
            ..projector("a_1")
        },
    ];
    for guest in cases {
        assert_eq!(guest.clone().check(), Ok(guest));
    }
}

#[test]
fn a_bad_descriptor_is_refused_with_rule_and_limit() {
    let lanes = |partition: &str, lanes| Descriptor {
        partition_by: partition.to_owned(),
        lanes,
        ..projector("a_1")
    };
    let wishes = |pairs: &[(&str, &str)]| Descriptor {
        options: options(pairs),
        ..projector("a_1")
    };
    let filter = |filter| Descriptor {
        filter,
        ..projector("a_1")
    };
    let pattern = |pattern| {
        filter(Filter(vec![Clause {
            types: vec![pattern],
            ..Clause::default()
        }]))
    };
    let many: Vec<(String, String)> = (0..=OPTIONS_MAX)
        .map(|n| (n.to_string(), String::new()))
        .collect();
    let cases = [
        projector("accounts"),
        Descriptor {
            group: "g".repeat(GROUP_BYTES_MAX + 1),
            ..projector("a_1")
        },
        Descriptor {
            group: "two words".to_owned(),
            ..projector("a_1")
        },
        Descriptor {
            run_mode: RunMode::FromPosition(-1),
            ..projector("a_1")
        },
        filter(Filter(vec![Clause::default(); CLAUSES_MAX + 1])),
        filter(types(&vec!["x"; PATTERNS_MAX + 1])),
        pattern(Pattern::Exact("x*".to_owned())),
        pattern(Pattern::Exact(String::new())),
        pattern(Pattern::Prefix("a*b".to_owned())),
        lanes("streams", 1),
        lanes("tag:", 1),
        lanes("data:account", 1),
        lanes("data:/a~2", 1),
        lanes("stream", LANES_MAX + 1),
        lanes("none", 2),
        Descriptor {
            options: many,
            ..projector("a_1")
        },
        wishes(&[("", "x")]),
        wishes(&[("note", "a\0b")]),
        wishes(&[("note", &"x".repeat(5_000))]),
        wishes(&[("timeout-ms", "1"), ("timeout-ms", "2")]),
        wishes(&[("timeout-ms", "0")]),
        wishes(&[("memory-mib", "64 MiB")]),
        wishes(&[("retry-attempts", "-1")]),
        wishes(&[("retry-base-ms", "86400001")]),
        wishes(&[("retry-factor", "0")]),
        wishes(&[("rebuild-state", "yes")]),
    ];
    let texts: Vec<String> = cases
        .map(|guest| guest.check().expect_err("it breaks a rule").to_string())
        .into();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_guest_may_want_other_retries_than_the_host() {
    let host = RetryPolicy {
        base_ms: 1_000,
        factor: 3,
        attempts: 4,
        jitter_percent: 5,
    };
    let guest = |pairs: &[(&str, &str)]| Descriptor {
        options: options(pairs),
        ..processor("a")
    };
    assert_eq!(guest(&[]).retry(host), host);
    assert_eq!(
        guest(&[("retry-attempts", "0")]).retry(host),
        RetryPolicy {
            attempts: 0,
            ..host
        }
    );
    let all = [
        ("retry-base-ms", "10"),
        ("retry-factor", "1"),
        ("retry-attempts", "9"),
    ];
    assert_eq!(
        guest(&all).retry(host),
        RetryPolicy {
            base_ms: 10,
            factor: 1,
            attempts: 9,
            ..host
        }
    );
}

#[test]
fn unknown_options_are_reported_and_known_ones_found() {
    let wishes = options(&[("rebuild-state", "true"), ("colour", "red")]);
    let guest = Descriptor {
        options: wishes,
        ..processor("a")
    };
    assert!(guest.rebuilds_state());
    assert_eq!(guest.option("colour"), Some("red"));
    assert_eq!(guest.unknown_options().collect::<Vec<_>>(), ["colour"]);
}
