//! Every status, input and run mode: against the design's table, as a snapshot, and as a closed world.

use std::fmt::Write;

use subscription::{Duty, Input, Next, Resume, RunMode, Status};

const MODES: [RunMode; 4] = [
    RunMode::FromBeginning,
    RunMode::FromNow,
    RunMode::Once,
    RunMode::FromPosition(17),
];

/// DESIGN.md section 4, by hand, each (r) spelled out. `-` is illegal; `a|mode:b` is b in that run mode, else a.
/// Columns: SetUp, SkipBoot, CaughtUp, Failed, RetryDue, NewCode, Pause, Reactivate, GuestMissing, Superseded,
/// Rewound, Remove.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 12]); 13] = [
    ("New",               ["Booting|from-now:Active", "Active", "-", "Error(New)", "New", "New", "-", "-", "Detached(New)", "Detached(New)", "-", "gone"]),
    ("Booting",           ["-", "-", "Active|once:Finished", "Error(Booting)", "Booting", "Booting", "Paused(Booting)", "-", "Detached(Booting)", "Detached(Booting)", "Booting", "gone"]),
    ("Active",            ["-", "-", "Active|once:Finished", "Error(Active)", "Active", "Active", "Paused(Active)", "-", "Detached(Active)", "Detached(Active)", "Booting", "gone"]),
    ("Finished",          ["-", "-", "-", "-", "Finished", "Finished", "-", "Active", "Detached(Active)", "Detached(Active)", "Booting", "gone"]),
    ("Paused(New)",       ["-", "-", "-", "-", "Paused(New)", "Paused(New)", "-", "New", "Detached(New)", "Detached(New)", "-", "gone"]),
    ("Paused(Booting)",   ["-", "-", "-", "-", "Paused(Booting)", "Paused(Booting)", "-", "Booting", "Detached(Booting)", "Detached(Booting)", "Paused(Booting)", "gone"]),
    ("Paused(Active)",    ["-", "-", "-", "-", "Paused(Active)", "Paused(Active)", "-", "Active", "Detached(Active)", "Detached(Active)", "Paused(Booting)", "gone"]),
    ("Error(New)",        ["-", "-", "-", "-", "New", "New", "Paused(New)", "New", "Detached(New)", "Detached(New)", "-", "gone"]),
    ("Error(Booting)",    ["-", "-", "-", "-", "Booting", "Booting", "Paused(Booting)", "Booting", "Detached(Booting)", "Detached(Booting)", "Booting", "gone"]),
    ("Error(Active)",     ["-", "-", "-", "-", "Active", "Active", "Paused(Active)", "Active", "Detached(Active)", "Detached(Active)", "Booting", "gone"]),
    ("Detached(New)",     ["-", "-", "-", "-", "Detached(New)", "Detached(New)", "-", "New", "Detached(New)", "Detached(New)", "-", "gone"]),
    ("Detached(Booting)", ["-", "-", "-", "-", "Detached(Booting)", "Detached(Booting)", "-", "Booting", "Detached(Booting)", "Detached(Booting)", "-", "gone"]),
    ("Detached(Active)",  ["-", "-", "-", "-", "Detached(Active)", "Detached(Active)", "-", "Active", "Detached(Active)", "Detached(Active)", "-", "gone"]),
];

fn shown(status: Status, input: Input, mode: RunMode) -> String {
    match status.on(input, mode) {
        Ok(Next::Status(next)) => next.to_string(),
        Ok(Next::Gone) => "gone".to_owned(),
        Err(_) => "-".to_owned(),
    }
}

/// Every triple, in the order of [`TABLE`].
fn cells() -> impl Iterator<Item = (Status, Input, RunMode)> {
    Status::all().into_iter().flat_map(|status| {
        Input::all()
            .into_iter()
            .flat_map(move |input| MODES.map(|mode| (status, input, mode)))
    })
}

#[test]
fn every_cell_is_as_designed() {
    let mut seen = 0;
    for (row, status) in Status::all().into_iter().enumerate() {
        let (name, outcomes) = TABLE[row];
        assert_eq!(status.to_string(), name);
        for (column, input) in Input::all().into_iter().enumerate() {
            for mode in MODES {
                let mut parts = outcomes[column].split('|');
                let usual = parts.next().expect("split yields one at least");
                let special =
                    parts.find_map(|part| part.strip_prefix(&format!("{}:", mode.name())));
                let expected = special.unwrap_or(usual);
                assert_eq!(
                    shown(status, input, mode),
                    expected,
                    "{status} on {input:?}, {mode}"
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 13 * 12 * 4);
}

#[test]
fn the_whole_table_reads_as_before() {
    let mut text = String::new();
    for mode in MODES {
        writeln!(text, "{mode}\n").expect("a string takes all");
        write!(text, "{:18}", "").expect("a string takes all");
        for status in Status::all() {
            write!(text, "{:18}", status.to_string()).expect("a string takes all");
        }
        for input in Input::all() {
            write!(text, "\n{:18}", format!("{input:?}")).expect("a string takes all");
            for status in Status::all() {
                write!(text, "{:18}", shown(status, input, mode)).expect("a string takes all");
            }
        }
        text.push_str("\n\n");
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn no_input_leads_outside_the_known_statuses() {
    for (status, input, mode) in cells() {
        match status.on(input, mode) {
            Ok(Next::Status(next)) => assert!(Status::all().contains(&next), "{status} {input:?}"),
            Ok(Next::Gone) => assert_eq!(input, Input::Remove, "{status}"),
            Err(illegal) => assert_eq!((illegal.status, illegal.input), (status, input)),
        }
    }
}

#[test]
fn every_status_can_be_reached_and_left() {
    let mut reached = vec![Status::New];
    let mut index = 0;
    while index < reached.len() {
        for (input, mode) in Input::all()
            .into_iter()
            .flat_map(|input| MODES.map(|mode| (input, mode)))
        {
            if let Ok(Next::Status(next)) = reached[index].on(input, mode)
                && !reached.contains(&next)
            {
                reached.push(next);
            }
        }
        index += 1;
    }
    for status in Status::all() {
        assert!(reached.contains(&status), "{status} is never reached");
        assert_eq!(
            status.on(Input::Remove, RunMode::Once),
            Ok(Next::Gone),
            "{status}"
        );
    }
}

#[test]
fn what_was_stopped_goes_on_where_it_was() {
    for from in [Status::Booting, Status::Active] {
        for stop in [
            Input::Pause,
            Input::Failed,
            Input::GuestMissing,
            Input::Superseded,
        ] {
            let Ok(Next::Status(stopped)) = from.on(stop, RunMode::FromBeginning) else {
                panic!("{from} takes {stop:?}");
            };
            let back = stopped.on(Input::Reactivate, RunMode::FromBeginning);
            assert_eq!(back, Ok(Next::Status(from)), "{from} after {stop:?}");
        }
    }
}

#[test]
fn detached_comes_back_only_by_reactivate() {
    for resume in [Resume::New, Resume::Booting, Resume::Active] {
        for (input, mode) in Input::all()
            .into_iter()
            .flat_map(|input| MODES.map(|mode| (input, mode)))
        {
            let detached = Status::Detached(resume);
            let stays = match detached.on(input, mode) {
                Ok(Next::Status(next)) => next == detached,
                Ok(Next::Gone) | Err(_) => true,
            };
            assert_eq!(stays, input != Input::Reactivate, "{detached} on {input:?}");
        }
    }
}

#[test]
fn the_duty_follows_from_the_status() {
    for status in Status::all() {
        let expected = match status.name() {
            "New" => Duty::SetUp,
            "Booting" | "Active" => Duty::Process,
            "Error" => Duty::AwaitRetry,
            "Finished" | "Paused" | "Detached" => Duty::Rest,
            other => panic!("unknown status {other}"),
        };
        assert_eq!(status.duty(), expected, "{status}");
    }
}

#[test]
fn refusals_say_why_and_what_to_do() {
    let mut texts: Vec<String> = Vec::new();
    let told_once = |status: &Status| status.resume() != Some(Resume::Booting);
    for (status, input, mode) in cells().filter(|(status, ..)| told_once(status)) {
        if let Err(illegal) = status.on(input, mode) {
            texts.push(illegal.to_string());
        }
    }
    texts.dedup();
    insta::assert_snapshot!(texts.join("\n"));
}
