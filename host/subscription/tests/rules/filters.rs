//! Which events a filter wants.

use proptest::prelude::*;
use subscription::{Clause, Filter, FilterIndex, PATTERN_BYTES_MAX, Pattern};

use crate::{patterns, types};

#[test]
fn a_pattern_is_exact_a_prefix_or_anything() {
    let cases = [
        ("Opened", "Opened", true),
        ("Opened", "opened", false),
        ("Opened", "OpenedTwice", false),
        ("Opened", "", false),
        ("Open*", "Opened", true),
        ("Open*", "Open", true),
        ("Open*", "Ope", false),
        ("*", "Opened", true),
        ("*", "", true),
        ("konto-ä*", "konto-ä1", true),
    ];
    for (pattern, text, expected) in cases {
        let pattern = Pattern::parse(pattern).expect("a good pattern");
        assert_eq!(pattern.matches(text), expected, "{pattern} and {text}");
    }
}

#[test]
fn a_bad_pattern_is_refused() {
    let longest = "a".repeat(PATTERN_BYTES_MAX);
    assert!(Pattern::parse(&longest).is_ok());
    let too_long = format!("{longest}a");
    for text in ["", "**", "a*b", "*a", "a*b*", "a\0", "a\nb", &too_long] {
        assert!(Pattern::parse(text).is_err(), "{text:?}");
    }
    insta::assert_snapshot!(Pattern::parse("a*b").expect_err("a star inside"), @"`a*b` is no pattern: write a name, or the beginning of one and a single * at its end, without control characters, at most 512 bytes");
}

#[test]
fn every_list_of_a_clause_must_match_and_any_clause_may() {
    let clause = |t: &[&str], e: &[&str], s: &[&str], g: &[&str]| Clause {
        types: patterns(t),
        except_types: patterns(e),
        streams: patterns(s),
        tags: patterns(g),
    };
    let none: &[&str] = &[];
    let cases: [(&str, Vec<Clause>, bool); 14] = [
        ("no clause", vec![], true),
        ("an empty clause", vec![Clause::default()], true),
        (
            "its type",
            vec![clause(&["X", "Opened"], none, none, none)],
            true,
        ),
        (
            "another type",
            vec![clause(&["X"], none, none, none)],
            false,
        ),
        (
            "excepted",
            vec![clause(none, &["Open*"], none, none)],
            false,
        ),
        ("not excepted", vec![clause(none, &["X"], none, none)], true),
        (
            "wanted and excepted",
            vec![clause(&["*"], &["Opened"], none, none)],
            false,
        ),
        (
            "its stream",
            vec![clause(none, none, &["account-*"], none)],
            true,
        ),
        (
            "another stream",
            vec![clause(none, none, &["order-*"], none)],
            false,
        ),
        (
            "one of its tags",
            vec![clause(none, none, none, &["eu"])],
            true,
        ),
        (
            "another tag",
            vec![clause(none, none, none, &["us"])],
            false,
        ),
        (
            "type and tag",
            vec![clause(&["Opened"], none, &["account-1"], &["vip"])],
            true,
        ),
        (
            "type, another tag",
            vec![clause(&["Opened"], none, none, &["us"])],
            false,
        ),
        (
            "the second",
            vec![
                clause(&["X"], none, none, none),
                clause(&["Opened"], none, none, none),
            ],
            true,
        ),
    ];
    for (case, clauses, expected) in cases {
        let filter = Filter(clauses);
        assert_eq!(
            filter.matches("Opened", "account-1", &["vip", "eu"]),
            expected,
            "{case}"
        );
    }
}

#[test]
fn an_event_without_tags_has_none_that_matches() {
    let any_tag = Filter(vec![Clause {
        tags: patterns(&["*"]),
        ..Clause::default()
    }]);
    assert!(!any_tag.matches::<&str>("Opened", "account-1", &[]));
    assert!(any_tag.matches("Opened", "account-1", &["x".to_owned()]));
    assert!(!any_tag.is_everything());
}

#[test]
fn everything_is_recognised() {
    let stream = |text| Clause {
        streams: patterns(&[text]),
        ..Clause::default()
    };
    let except = Clause {
        except_types: patterns(&["X"]),
        ..Clause::default()
    };
    assert!(Filter::default().is_everything());
    assert!(Filter(vec![Clause::default()]).is_everything());
    assert!(types(&["X", "*"]).is_everything());
    assert!(Filter(vec![stream("a"), stream("*")]).is_everything());
    assert!(!types(&["X"]).is_everything());
    assert!(!Filter(vec![stream("a*")]).is_everything());
    assert!(!Filter(vec![except]).is_everything());
}

#[test]
fn a_filter_says_what_it_wants() {
    let clause = Clause {
        types: patterns(&["Opened", "Closed"]),
        except_types: patterns(&["Test*"]),
        streams: patterns(&["account-*"]),
        tags: patterns(&["eu"]),
    };
    let mut filter = types(&["X"]);
    filter.0.push(clause);
    assert_eq!(Filter::default().to_string(), "every event");
    assert_eq!(
        filter.to_string(),
        "[types X] or [types Opened, Closed; except-types Test*; streams account-*; tags eu]"
    );
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let pattern = "[ab]{1,2}|[ab]{0,2}\\*".prop_map(|text| Pattern::parse(&text).expect("good"));
    let list = || prop::collection::vec(pattern.clone(), 0..3);
    let clause =
        (list(), list(), list(), list()).prop_map(|(types, except_types, streams, tags)| Clause {
            types,
            except_types,
            streams,
            tags,
        });
    prop::collection::vec(clause, 0..3).prop_map(Filter)
}

proptest! {
    #[test]
    fn a_pattern_reads_back_from_its_text(text in "[^*\\p{C}]{0,12}\\*?") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn a_filter_for_everything_matches_anything(
        filter in any_filter(), event_type in "[abc]{1,3}", stream in "[abc]{1,3}",
        tags in prop::collection::vec("[abc]{1,3}", 0..3),
    ) {
        if filter.is_everything() {
            prop_assert!(filter.matches(&event_type, &stream, &tags));
        }
    }

    #[test]
    fn the_canonical_form_wants_the_same(
        filter in any_filter(), event_type in "[abc]{1,3}", stream in "[abc]{1,3}",
        tags in prop::collection::vec("[abc]{1,3}", 0..3),
    ) {
        let canonical = filter.canonical();
        prop_assert_eq!(
            filter.matches(&event_type, &stream, &tags),
            canonical.matches(&event_type, &stream, &tags)
        );
        prop_assert_eq!(canonical.canonical(), canonical);
    }

    #[test]
    fn one_more_clause_never_wants_less(
        filter in any_filter(), more in any_filter(), event_type in "[ab]{1,2}", stream in "[ab]{1,2}",
    ) {
        prop_assume!(!filter.0.is_empty());
        let tags: [&str; 0] = [];
        let both = Filter([filter.0.clone(), more.0].concat());
        if filter.matches(&event_type, &stream, &tags) {
            prop_assert!(both.matches(&event_type, &stream, &tags));
        }
    }
    #[test]
    fn an_index_finds_whose_filters_match(
        filters in prop::collection::vec(any_filter(), 0..6), replaced in any_filter(),
        event_type in "[ab]{1,2}", stream in "[ab]{1,2}", tags in prop::collection::vec("[ab]{1,2}", 0..3),
    ) {
        let mut index = FilterIndex::default();
        for number in 0..filters.len() {
            index.insert(number, replaced.clone());
        }
        for (number, filter) in filters.iter().enumerate() {
            index.insert(number, filter.clone());
        }
        index.insert(filters.len(), replaced);
        index.remove(&filters.len());
        let matching = |number: &usize| filters[*number].matches(&event_type, &stream, &tags);
        let expected: Vec<usize> = (0..filters.len()).filter(matching).collect();
        let found: Vec<usize> = index.wanting(&event_type, &stream, &tags).into_iter().copied().collect();
        prop_assert_eq!(found, expected);
    }
}
