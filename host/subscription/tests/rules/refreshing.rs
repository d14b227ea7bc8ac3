//! What an operator's `refresh` takes over, in every status.

use subscription::{
    Consistency, Descriptor, Kind, Part, RunMode, Status, outdated, refresh, swapped,
};

use crate::{processor, projector, types};

/// The same guest, which says something else about all that it may.
fn changed(guest: &Descriptor) -> Descriptor {
    Descriptor {
        group: "crm".to_owned(),
        filter: types(&["Opened", "Closed"]),
        run_mode: RunMode::FromPosition(7),
        consistency: Consistency::Strong,
        max_chunk: 50,
        ..guest.clone()
    }
}

#[test]
fn new_code_changes_all_but_what_waits_for_refresh() {
    let stored = processor("mails");
    let said = changed(&stored);
    let after = swapped(&stored, &said);
    assert_eq!(
        (after.consistency, after.max_chunk),
        (Consistency::Strong, 50)
    );
    assert_eq!(outdated(&stored, &after), []);
    assert_eq!(
        outdated(&after, &said),
        [Part::Group, Part::Filter, Part::RunMode]
    );
}

#[test]
fn a_group_is_taken_over_always_a_filter_by_processors_and_a_run_mode_while_new() {
    for stored in [processor("mails"), projector("accounts_1")] {
        let said = changed(&stored);
        for status in Status::all() {
            let result = refresh(status, &stored, &said);
            let allowed = |part: &Part| match part {
                Part::Group => true,
                Part::Filter => stored.kind == Kind::Processor,
                Part::RunMode => status == Status::New,
            };
            let (taken, kept): (Vec<_>, Vec<_>) = [Part::Group, Part::Filter, Part::RunMode]
                .into_iter()
                .partition(allowed);
            assert_eq!(result.taken, taken, "{status}");
            let kept_parts: Vec<_> = result.kept.iter().map(|kept| kept.part).collect();
            assert_eq!(kept_parts, kept, "{status}");
            assert_eq!(outdated(&result.descriptor, &said), kept, "{status}");
        }
    }
}

#[test]
fn a_refresh_of_what_is_current_takes_nothing() {
    let stored = projector("accounts_1");
    let other_order = Descriptor {
        filter: types(&["*"]),
        ..stored.clone()
    };
    let result = refresh(Status::Active, &stored, &other_order);
    assert_eq!((result.taken, result.kept), (vec![], vec![]));
    assert_eq!(result.descriptor, stored);
}

#[test]
fn what_is_kept_says_why_and_what_to_do() {
    let stored = projector("accounts_1");
    let kept = refresh(Status::Active, &stored, &changed(&stored)).kept;
    let texts: Vec<String> = kept.into_iter().map(|kept| kept.why).collect();
    insta::assert_snapshot!(texts.join("\n"));
    let said = changed(&stored);
    let taken = [Part::Group, Part::Filter, Part::RunMode].map(|part| part.of(&said));
    insta::assert_snapshot!(taken.join("\n"));
}
