//! What a module may be to a subscription that is known, and to its line.

use subscription::{
    Clause, Descriptor, Filter, Kind, LineVersion, Refused, Registration, RunMode, Start, Status,
    Stored, register, start,
};

use crate::{id, patterns, processor, projector, types};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn stored(status: Status, descriptor: Descriptor) -> Stored {
    Stored {
        status,
        descriptor,
        digest: OLD,
    }
}

fn version(text: &str, kind: Kind, live: bool) -> LineVersion {
    LineVersion {
        id: id(text),
        kind,
        live,
        attached: live,
    }
}

/// A version that is at work and that readers do not see.
fn building(text: &str) -> LineVersion {
    LineVersion {
        attached: true,
        ..version(text, Kind::Projector, false)
    }
}

/// A module with new bytes against what is stored.
fn swap(status: Status, known: Descriptor, found: &Descriptor) -> Result<Registration, Refused> {
    register(Some(&stored(status, known)), found, &NEW, &[])
}

#[test]
fn an_unknown_id_is_new() {
    assert_eq!(
        register(None, &projector("a_1"), &NEW, &[]),
        Ok(Registration::New)
    );
}

#[test]
fn other_bytes_are_swapped_and_no_status_changes_that() {
    for status in Status::all() {
        let known = stored(status, projector("a_1"));
        let same = register(Some(&known), &projector("a_1"), &OLD, &[]);
        assert_eq!(same, Ok(Registration::Unchanged), "{status}");
        let other = register(Some(&known), &projector("a_1"), &NEW, &[]);
        assert_eq!(other, Ok(Registration::Swap), "{status}");
    }
}

#[test]
fn what_waits_for_refresh_is_no_hindrance() {
    let group = |guest: Descriptor| Descriptor {
        group: "other".to_owned(),
        ..guest
    };
    let filter = |guest: Descriptor| Descriptor {
        filter: types(&["X"]),
        ..guest
    };
    let swapped = Ok(Registration::Swap);
    assert_eq!(
        swap(Status::Active, projector("a_1"), &group(projector("a_1"))),
        swapped
    );
    assert_eq!(
        swap(Status::Active, processor("a"), &group(processor("a"))),
        swapped
    );
    assert_eq!(
        swap(Status::Active, processor("a"), &filter(processor("a"))),
        swapped
    );
}

#[test]
fn a_filter_in_another_order_is_the_same() {
    let with = |texts: &[&str]| Descriptor {
        filter: types(texts),
        ..projector("a_1")
    };
    let found = with(&["Y", "X", "Y"]);
    assert_eq!(
        swap(Status::Active, with(&["X", "Y"]), &found),
        Ok(Registration::Swap)
    );
    let everything = Descriptor {
        filter: types(&["*"]),
        ..projector("a_1")
    };
    assert_eq!(
        swap(Status::Active, projector("a_1"), &everything),
        Ok(Registration::Swap)
    );
}

#[test]
fn a_run_mode_changes_only_while_new() {
    let found = Descriptor {
        run_mode: RunMode::Once,
        ..projector("a_1")
    };
    for status in Status::all() {
        let accepted = swap(status, projector("a_1"), &found).is_ok();
        assert_eq!(accepted, status == Status::New, "{status}");
    }
    let at = |position| Descriptor {
        run_mode: RunMode::FromPosition(position),
        ..projector("a_1")
    };
    assert!(swap(Status::Active, at(1), &at(2)).is_err());
}

#[test]
fn a_higher_version_or_a_line_without_a_live_one_is_new() {
    let lower = [version("a_1", Kind::Projector, true)];
    assert_eq!(
        register(None, &projector("a_2"), &NEW, &lower),
        Ok(Registration::New)
    );
    let not_live = [version("a_2", Kind::Projector, false)];
    assert_eq!(
        register(None, &projector("a_1"), &NEW, &not_live),
        Ok(Registration::New)
    );
}

#[test]
fn a_known_lower_version_keeps_its_subscription() {
    let known = stored(
        Status::Detached(subscription::Resume::Active),
        projector("a_1"),
    );
    let versions = [
        version("a_1", Kind::Projector, false),
        version("a_2", Kind::Projector, true),
    ];
    let found = register(Some(&known), &projector("a_1"), &NEW, &versions);
    assert_eq!(found, Ok(Registration::Swap));
}

fn with_tables(tables: &str) -> Descriptor {
    Descriptor {
        options: vec![("tables".to_owned(), tables.to_owned())],
        ..projector("a_1")
    }
}

#[test]
fn tables_are_compared_once_they_are_made_and_where_both_say_what_they_are() {
    let (one, other) = (
        with_tables("t(id text key)"),
        with_tables("t(id bigint key)"),
    );
    let taken = |status, stored: &Descriptor, found: &Descriptor| {
        swap(status, stored.clone(), found).is_ok()
    };
    use subscription::Resume;
    assert!(taken(Status::Active, &one, &one));
    assert!(!taken(Status::Active, &one, &other));
    assert!(!taken(Status::Error(Resume::Active), &one, &other));
    assert!(taken(Status::New, &one, &other));
    assert!(taken(Status::Error(Resume::New), &one, &other));
    assert!(taken(Status::Active, &projector("a_1"), &other));
}

#[test]
fn a_refusal_says_what_contradicts_and_what_to_do() {
    let once = Descriptor {
        run_mode: RunMode::Once,
        ..projector("a_1")
    };
    let streams = Clause {
        streams: patterns(&["a-*"]),
        ..Clause::default()
    };
    let filtered = Descriptor {
        filter: Filter(vec![streams]),
        ..projector("a_1")
    };
    let lanes = Descriptor {
        partition_by: "stream".to_owned(),
        lanes: 4,
        ..projector("a_1")
    };
    let wide = with_tables("account(id text key, balance bigint, open boolean)");
    let narrow = with_tables("account(id text key, balance bigint)");
    let line = [
        version("a_3", Kind::Projector, true),
        version("a_7", Kind::Projector, false),
    ];
    let below = |text| register(None, &projector(text), &NEW, &line);
    let changed = |found| {
        register(
            Some(&stored(Status::Active, projector("a_1"))),
            found,
            &NEW,
            &line,
        )
    };
    let refusals = [
        changed(&processor("a_1")),
        changed(&once),
        changed(&filtered),
        changed(&lanes),
        swap(Status::Active, filtered.clone(), &projector("a_1")),
        swap(Status::Active, narrow, &wide),
        below("a_2"),
        register(None, &projector("a_5"), &NEW, &[building("a_6")]),
        register(None, &processor("a"), &NEW, &line),
    ];
    let texts: Vec<String> = refusals
        .map(|refused| refused.expect_err("refused").to_string())
        .into();
    insta::assert_snapshot!(texts.join("\n"));
}

fn rebuilding(guest: Descriptor) -> Descriptor {
    Descriptor {
        options: vec![("rebuild-state".to_owned(), "true".to_owned())],
        ..guest
    }
}

#[test]
fn a_version_below_one_that_is_being_built_is_refused() {
    let line = [version("a_1", Kind::Projector, true), building("a_3")];
    assert!(register(None, &projector("a_2"), &NEW, &line).is_err());
    assert!(register(None, &projector("a_4"), &NEW, &line).is_ok());
}

#[test]
fn only_the_first_version_of_a_line_begins_by_its_own_run_mode() {
    let with = |guest: Descriptor, run_mode| Descriptor { run_mode, ..guest };
    let line = [
        version("a_1", Kind::Projector, true),
        version("a_2", Kind::Projector, false),
        version("a_9", Kind::Projector, false),
    ];
    let cases = [
        (
            with(projector("a_1"), RunMode::FromNow),
            &line[..0],
            Start::As(RunMode::FromNow),
        ),
        (
            with(projector("a_1"), RunMode::FromNow),
            &line[2..],
            Start::As(RunMode::FromNow),
        ),
        (
            with(projector("a_3"), RunMode::FromNow),
            &line[..],
            Start::As(RunMode::FromBeginning),
        ),
        (
            with(projector("a_3"), RunMode::FromPosition(7)),
            &line[..],
            Start::As(RunMode::FromBeginning),
        ),
        (
            with(projector("a_3"), RunMode::Once),
            &line[..],
            Start::As(RunMode::Once),
        ),
        (
            with(processor("a"), RunMode::FromNow),
            &line[..0],
            Start::As(RunMode::FromNow),
        ),
        (
            with(processor("a_3"), RunMode::FromBeginning),
            &line[..],
            Start::After(id("a_1")),
        ),
        (
            with(processor("a_3"), RunMode::FromNow),
            &line[1..],
            Start::After(id("a_2")),
        ),
        (
            rebuilding(processor("a_3")),
            &line[..],
            Start::Behind(id("a_1")),
        ),
        (
            with(rebuilding(processor("a")), RunMode::FromNow),
            &line[..0],
            Start::As(RunMode::FromNow),
        ),
    ];
    for (found, versions, expected) in cases {
        assert_eq!(
            start(&found, versions),
            expected,
            "{} {}",
            found.id,
            found.run_mode
        );
    }
}
