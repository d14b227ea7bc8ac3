//! What people see of `status`, made from reports that no database is needed for.

use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::admin::lines::{LineStatus, OnItsWay, Role, VersionStatus};
use crate::admin::status::{Behind, FilePlace, HostStatus, LaneStatus};

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00:00 UTC);

fn report() -> StatusReport {
    StatusReport {
        taken_at: NOW,
        head: 262_200,
        subscriptions: Vec::new(),
        lines: Vec::new(),
        refused_files: Vec::new(),
        hosts: Vec::new(),
        open_writers: Vec::new(),
    }
}

fn host() -> HostStatus {
    HostStatus {
        id: Uuid::nil(),
        name: "blue".to_owned(),
        modules: "/srv/modules".to_owned(),
        guest_roles: true,
        started_at: NOW - Duration::hours(3),
        seen_at: NOW,
    }
}

fn active(id: &str) -> SubscriptionStatus {
    SubscriptionStatus {
        id: id.to_owned(),
        line: "accounts".to_owned(),
        version: 1,
        kind: "projector",
        group: "projector".to_owned(),
        run_mode: "from-beginning",
        status: "Active",
        resume: None,
        since: NOW - Duration::hours(1),
        position: 262_197,
        lanes: vec![LaneStatus {
            lane: 0,
            position: 262_197,
        }],
        behind: Behind {
            positions: 3,
            events: Some(2),
        },
        progress: None,
        module: "3f9a2b1c".repeat(8),
        moved_at: Some(NOW),
        error: None,
        awaits_refresh: Vec::new(),
        files: Vec::new(),
        report: None,
    }
}

fn booting() -> SubscriptionStatus {
    SubscriptionStatus {
        status: "Booting",
        position: 188_900,
        behind: Behind {
            positions: 73_300,
            events: None,
        },
        progress: Some(0.7204),
        ..active("accounts_2")
    }
}

fn failed() -> SubscriptionStatus {
    SubscriptionStatus {
        group: "processor".to_owned(),
        status: "Error",
        resume: Some("Active"),
        position: 262_100,
        behind: Behind {
            positions: 100,
            events: Some(98),
        },
        error: Some(ErrorStatus {
            lane: 0,
            class: "trap",
            message: "the guest panicked or aborted: no amount\nin the event".to_owned(),
            position: Some(262_101),
            event_type: Some("MailRequested".to_owned()),
            module: "3f9a2b1c".repeat(8),
            attempts: 2,
            failed_at: NOW - Duration::seconds(6),
            retry_at: Some(NOW + Duration::milliseconds(3_500)),
            retry_in_ms: Some(3_500),
            backtrace: Some("  0: mails::send\n  1: mails::handle".to_owned()),
            output: Some("thread 'main' panicked at src/lib.rs:7".to_owned()),
        }),
        ..active("mails")
    }
}

fn stopped() -> SubscriptionStatus {
    let mut one = failed();
    one.id = "invoices_1".to_owned();
    if let Some(error) = &mut one.error {
        (error.retry_at, error.retry_in_ms) = (None, None);
        (error.class, error.attempts) = ("sql", 6);
        (error.backtrace, error.output) = (None, None);
        error.message = "a statement failed: division by zero (SQLSTATE 22012)".to_owned();
    }
    one
}

fn outdated() -> SubscriptionStatus {
    SubscriptionStatus {
        awaits_refresh: vec!["group", "filter"],
        ..active("orders_1")
    }
}

#[test]
fn shows_every_subscription_and_what_is_wrong() {
    let place = FilePlace {
        file: "broken.wasm".to_owned(),
        host: "blue".to_owned(),
        modules: "/srv/modules".to_owned(),
    };
    let refused = |subscription: Option<&str>, reason: &str| RefusedFile {
        place: place.clone(),
        subscription: subscription.map(str::to_owned),
        reason: reason.to_owned(),
    };
    let writer = |since: OffsetDateTime| OpenWriter {
        pid: Some(4711),
        application: Some("billing".to_owned()),
        state: Some("idle in transaction".to_owned()),
        query: Some("SELECT projectionist.append($1, $2, $3)".to_owned()),
        since: Some(since),
        prepared_as: None,
    };
    let report = StatusReport {
        subscriptions: vec![
            active("accounts_1"),
            booting(),
            failed(),
            stopped(),
            outdated(),
        ],
        refused_files: vec![
            refused(None, "not a WebAssembly file"),
            refused(Some("accounts_1"), "cannot be compiled: unexpected end"),
        ],
        hosts: vec![host()],
        open_writers: vec![writer(NOW - Duration::minutes(5)), writer(NOW)],
        ..report()
    };
    insta::assert_snapshot!(render(&report, Some(100)));
}

#[test]
fn says_how_to_begin() {
    let with_host = StatusReport {
        hosts: vec![host()],
        ..report()
    };
    let texts = [render(&report(), Some(100)), render(&with_host, Some(100))];
    insta::assert_snapshot!(texts.join("\n----\n"));
}

#[test]
fn says_that_nothing_moves_without_a_host() {
    let report = StatusReport {
        subscriptions: vec![active("accounts_1")],
        ..report()
    };
    insta::assert_snapshot!(render(&report, None));
}

#[test]
fn a_bar_is_full_only_at_the_end() {
    for (progress, expected) in [
        (0.0, "░░░░░░░░░░   0 %"),
        (0.5, "█████░░░░░  50 %"),
        (0.999, "█████████░  99 %"),
        (1.0, "██████████ 100 %"),
    ] {
        assert_eq!(bar(progress), expected);
    }
}

fn version(number: i64, role: Role, status: &str) -> VersionStatus {
    VersionStatus {
        id: format!("accounts_{number}"),
        version: number,
        role,
        status: status.to_owned(),
        position: 100,
        since: NOW - Duration::hours(number * 5),
        on_its_way: None,
    }
}

#[test]
fn shows_which_version_of_a_line_is_live_and_how_far_the_next_one_is() {
    let next = VersionStatus {
        on_its_way: Some(OnItsWay {
            progress: 0.437,
            events_per_second: Some(21_300.4),
            seconds_left: Some(8),
        }),
        ..version(12, Role::Next, "Booting")
    };
    let line = LineStatus {
        line: "accounts".to_owned(),
        kind: "projector",
        live: Some("accounts_2".to_owned()),
        live_since: Some(NOW),
        wanted: None,
        obstacle: None,
        obstacle_since: None,
        versions: vec![
            next,
            version(2, Role::Live, "Active"),
            version(1, Role::Kept, "Detached(Active)"),
        ],
    };
    let held_up = LineStatus {
        line: "orders".to_owned(),
        wanted: Some("accounts_1".to_owned()),
        obstacle: Some(
            "it waits for transactions that have read the line and have not ended: pid 7"
                .to_owned(),
        ),
        obstacle_since: Some(NOW - Duration::minutes(3)),
        versions: vec![
            version(2, Role::Live, "Active"),
            version(1, Role::Beside, "Active"),
        ],
        ..line.clone()
    };
    let simple = LineStatus {
        versions: vec![version(2, Role::Live, "Active")],
        ..line.clone()
    };
    let report = StatusReport {
        subscriptions: vec![active("accounts_2")],
        lines: vec![line, held_up, simple],
        ..report()
    };
    insta::assert_snapshot!(render(&report, None));
}
