//! The table and the diagram of the README are made of the function itself, so that they cannot drift from it.
//!
//! After a change of the rules: `INSTA_UPDATE=always cargo test -p subscription`, as for snapshots, then look at the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use subscription::{Input, Next, Resume, RunMode, Status};

const MODES: [RunMode; 4] = [
    RunMode::FromBeginning,
    RunMode::FromNow,
    RunMode::Once,
    RunMode::FromPosition(0),
];

/// What has one row in the table: a status, or one of those that remember where to go on.
#[derive(Clone, Copy)]
enum Row {
    Plain(Status),
    Stopped(&'static str, fn(Resume) -> Status),
}

const ROWS: [Row; 7] = [
    Row::Plain(Status::New),
    Row::Plain(Status::Booting),
    Row::Plain(Status::Active),
    Row::Plain(Status::Finished),
    Row::Stopped("Paused", Status::Paused),
    Row::Stopped("Error", Status::Error),
    Row::Stopped("Detached", Status::Detached),
];

#[test]
fn every_status_has_a_row() {
    let mut shown: Vec<Status> = Vec::new();
    for row in ROWS {
        match row {
            Row::Plain(status) => shown.push(status),
            Row::Stopped(_, with) => {
                shown.extend([Resume::New, Resume::Booting, Resume::Active].map(with))
            }
        }
    }
    assert_eq!(shown, Status::all());
}

#[test]
fn the_readme_shows_the_rules_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let written = fs::read_to_string(&path).expect("the README of the rules");
    let mut current = written.clone();
    for (name, text) in [("diagram", diagram()), ("table", table())] {
        current = with_part(&current, name, &text);
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(path, current).expect("written");
        return;
    }
    assert_eq!(
        written, current,
        "the README is not what the rules are; INSTA_UPDATE=always writes it anew"
    );
}

/// The text with what stands between two marks replaced.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let begin = format!("<!-- {name}: made by tests/rules/documents.rs -->\n");
    let end = format!("<!-- end of the {name} -->");
    let (before, rest) = text.split_once(&begin).expect("a mark where it begins");
    let (_, after) = rest.split_once(&end).expect("a mark where it ends");
    format!("{before}{begin}{part}{end}{after}")
}

/// The statuses without what they remember, and the inputs that lead from one to another.
fn diagram() -> String {
    let mut edges: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let place = |status: Status| {
        let named = |row: &Row| match row {
            Row::Plain(plain) => *plain == status,
            Row::Stopped(name, _) => *name == status.name(),
        };
        ROWS.iter().position(named).expect("every status has a row")
    };
    for status in Status::all() {
        for input in Input::all() {
            for mode in MODES {
                let Ok(Next::Status(next)) = status.on(input, mode) else {
                    continue;
                };
                if place(next) == place(status) {
                    continue;
                }
                let labels = edges.entry((place(status), place(next))).or_default();
                let label = format!("{input:?}");
                if !labels.contains(&label) {
                    labels.push(label);
                }
            }
        }
    }
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> New\n");
    for ((from, to), labels) in edges {
        let (from, to) = (name_of(ROWS[from]), name_of(ROWS[to]));
        text.push_str(&format!("    {from} --> {to}: {}\n", labels.join(", ")));
    }
    text.push_str("```\n");
    text
}

fn name_of(row: Row) -> String {
    match row {
        Row::Plain(status) => status.to_string(),
        Row::Stopped(name, _) => name.to_owned(),
    }
}

/// Every status and input. Inputs that always lead to the same share a column.
fn table() -> String {
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    for input in Input::all() {
        let cells: Vec<String> = ROWS.iter().map(|row| cell(*row, input)).collect();
        match columns.iter_mut().find(|(_, known)| *known == cells) {
            Some((names, _)) => names.push_str(&format!(", {input:?}")),
            None => columns.push((format!("{input:?}"), cells)),
        }
    }
    let names: Vec<&str> = columns.iter().map(|(names, _)| names.as_str()).collect();
    let mut text = format!("| from | {} |\n", names.join(" | "));
    text.push_str(&"|---".repeat(columns.len() + 1));
    text.push_str("|\n");
    for (index, row) in ROWS.into_iter().enumerate() {
        let from = match row {
            Row::Plain(status) => status.to_string(),
            Row::Stopped(name, _) => format!("{name}(r)"),
        };
        let cells: Vec<&str> = columns
            .iter()
            .map(|(_, cells)| cells[index].as_str())
            .collect();
        text.push_str(&format!("| {from} | {} |\n", cells.join(" | ")));
    }
    text
}

fn cell(row: Row, input: Input) -> String {
    match row {
        Row::Plain(status) => outcome(status, input),
        Row::Stopped(_, with) => {
            // New stands apart: nothing has been set up there.
            let new = outcome_with_r(with, Resume::New, input);
            let booting = outcome_with_r(with, Resume::Booting, input);
            let active = outcome_with_r(with, Resume::Active, input);
            match booting == active {
                true if new == booting => new,
                // The same status whatever it remembers.
                true => format!("{booting} (New: {new})"),
                false => constant(with, input, &new),
            }
        }
    }
}

/// Where Booting and Active lead to the same status, which names one of them and so reads as `r` for that one.
fn constant(with: fn(Resume) -> Status, input: Input, new: &str) -> String {
    let booting = outcome(with(Resume::Booting), input);
    let active = outcome(with(Resume::Active), input);
    assert_eq!(booting, active, "{input:?} needs another way to be shown");
    format!("{booting} (New: {new})")
}

/// `r` for what is remembered.
fn outcome_with_r(with: fn(Resume) -> Status, resume: Resume, input: Input) -> String {
    let text = outcome(with(resume), input);
    if text == resume.name() {
        return "r".to_owned();
    }
    text.replace(&format!("({})", resume.name()), "(r)")
}

/// `same`, another status with what is special to a run mode, `gone`, or `-`.
fn outcome(status: Status, input: Input) -> String {
    let shown = |mode| match status.on(input, mode) {
        Ok(Next::Status(next)) if next == status && input != Input::Rewound => "same".to_owned(),
        Ok(Next::Status(next)) => next.to_string(),
        Ok(Next::Gone) => "gone".to_owned(),
        Err(_) => "-".to_owned(),
    };
    let usual = shown(RunMode::FromBeginning);
    let special = MODES.into_iter().filter(|mode| shown(*mode) != usual);
    let special: Vec<String> = special
        .map(|mode| format!("{}: {}", mode.name(), shown(mode)))
        .collect();
    match special.as_slice() {
        [] => usual,
        special => format!("{usual} ({})", special.join(", ")),
    }
}
