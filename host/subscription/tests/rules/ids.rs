//! Which ids are allowed, what line and version they have, and what a refusal says.

use proptest::prelude::*;
use subscription::{ID_BYTES_MAX, IdFault, Kind, Line, SubscriberId};

#[test]
fn an_id_has_a_line_and_a_version() {
    let cases = [
        ("accounts_1", Kind::Projector, "accounts", 1),
        ("accounts_10", Kind::Projector, "accounts", 10),
        ("a_1", Kind::Projector, "a", 1),
        ("a__1", Kind::Projector, "a_", 1),
        ("open_accounts_2", Kind::Projector, "open_accounts", 2),
        ("a1_2", Kind::Projector, "a1", 2),
        ("public_accounts_1", Kind::Projector, "public_accounts", 1),
        ("pgsql_1", Kind::Projector, "pgsql", 1),
        (
            "builds_20260131120000",
            Kind::Projector,
            "builds",
            20_260_131_120_000,
        ),
        (
            "x_9223372036854775807",
            Kind::Projector,
            "x",
            9_223_372_036_854_775_807,
        ),
        ("mailer", Kind::Processor, "mailer", 0),
        ("mailer_", Kind::Processor, "mailer_", 0),
        ("mailer2", Kind::Processor, "mailer2", 0),
        ("mailer_2", Kind::Processor, "mailer", 2),
        ("mailer_v2", Kind::Processor, "mailer_v2", 0),
    ];
    for (text, kind, line, version) in cases {
        let id = SubscriberId::parse(text, kind).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(
            (id.as_str(), id.line(), id.version()),
            (text, line, version)
        );
        assert_eq!(Line::parse(line).map(String::from), Ok(line.to_owned()));
    }
}

#[test]
fn a_bad_id_is_refused_with_its_rule() {
    let (projector, processor) = (Kind::Projector, Kind::Processor);
    let long = format!("{}_1", "a".repeat(ID_BYTES_MAX - 1));
    let cases = [
        ("", projector, IdFault::Empty),
        (long.as_str(), projector, IdFault::TooLong),
        ("Accounts_1", projector, IdFault::Character('A')),
        ("accounts-1", projector, IdFault::Character('-')),
        ("konten_ä_1", projector, IdFault::Character('ä')),
        ("accounts_1\n", projector, IdFault::Character('\n')),
        ("accounts_\u{661}", projector, IdFault::Character('\u{661}')),
        (
            "a\"; DROP SCHEMA public_1",
            projector,
            IdFault::Character('"'),
        ),
        ("1_1", projector, IdFault::NoLetterFirst),
        ("_1", projector, IdFault::NoLetterFirst),
        ("_accounts_1", processor, IdFault::NoLetterFirst),
        ("accounts", projector, IdFault::NoVersion),
        ("accounts_", projector, IdFault::NoVersion),
        ("accounts1", projector, IdFault::NoVersion),
        ("accounts_v1", projector, IdFault::NoVersion),
        ("accounts_01", projector, IdFault::LeadingZero),
        ("accounts_0", projector, IdFault::LeadingZero),
        ("mailer_0", processor, IdFault::LeadingZero),
        ("mailer_01", processor, IdFault::LeadingZero),
        ("a_9223372036854775808", projector, IdFault::VersionTooHigh),
        (
            "a_99999999999999999999999",
            projector,
            IdFault::VersionTooHigh,
        ),
        ("accounts_1_2", projector, IdFault::LineEndsInNumber),
        ("mailer_1_2", processor, IdFault::LineEndsInNumber),
        ("accounts_01_2", projector, IdFault::LineEndsInNumber),
        ("public", processor, IdFault::Reserved),
        ("public_1", projector, IdFault::Reserved),
        ("pg_1", projector, IdFault::Reserved),
        ("pg_catalog_1", projector, IdFault::Reserved),
        ("pj_batch", processor, IdFault::Reserved),
        ("projectionist_1", projector, IdFault::Reserved),
        ("information_schema_1", projector, IdFault::Reserved),
    ];
    let mut texts = Vec::new();
    for (text, kind, fault) in cases {
        let bad = SubscriberId::parse(text, kind).expect_err(text);
        assert_eq!(bad.fault, fault, "{text}");
        texts.push(bad.to_string());
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn the_longest_id_is_allowed() {
    let longest = format!("{}_1", "a".repeat(ID_BYTES_MAX - 2));
    assert!(SubscriberId::parse(&longest, Kind::Projector).is_ok());
}

#[test]
fn a_line_is_no_id_with_a_version() {
    assert!(Line::parse("accounts").is_ok());
    for text in [
        "",
        "accounts_1",
        "accounts_01",
        "public",
        "pg_x",
        "pj_x",
        "Accounts",
    ] {
        assert!(Line::parse(text).is_err(), "{text}");
    }
}

#[test]
fn versions_are_ordered_as_numbers() {
    let mut ids = ["b_1", "a_10", "a_9", "a"].map(crate::id);
    ids.sort();
    assert_eq!(ids.map(String::from), ["a", "a_9", "a_10", "b_1"]);
}

proptest! {
    #[test]
    fn any_line_and_version_make_an_id(line in "[a-z][a-z0-9]{0,20}(_[a-z]{1,5})?", version in 1..=i64::MAX as u64) {
        prop_assume!(Line::parse(&line).is_ok());
        let text = format!("{line}_{version}");
        let id = SubscriberId::parse(&text, Kind::Projector).expect("it keeps the rules");
        prop_assert_eq!((id.line(), id.version(), id.as_str()), (line.as_str(), version, text.as_str()));
    }

    #[test]
    fn what_is_allowed_is_a_safe_name_of_a_schema(text in ".{0,60}|[a-z0-9_]{0,60}|[a-z]{1,4}_[0-9]{1,22}") {
        for kind in [Kind::Projector, Kind::Processor] {
            if let Ok(id) = SubscriberId::parse(&text, kind) {
                prop_assert!(text.len() <= ID_BYTES_MAX && text.starts_with(|c: char| c.is_ascii_lowercase()));
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                prop_assert!(Line::parse(id.line()).is_ok());
                prop_assert_eq!(id.as_str(), text.as_str());
            }
        }
    }

    #[test]
    fn a_projector_id_is_a_processor_id(text in "[a-z_]{1,8}_[0-9]{1,3}") {
        if let Ok(id) = SubscriberId::parse(&text, Kind::Projector) {
            prop_assert_eq!(Ok(id), SubscriberId::parse(&text, Kind::Processor));
        }
    }
}
