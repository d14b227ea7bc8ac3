//! The rules that the compiler does not hold: floors, sizes, first lines, what has no place in the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// Lines of a Rust file at most.
const MAX_LINES: usize = 600;

/// What each part of the host may import from the others. Floor 1 is store and embedded, 2 guest, 3 engine and admin, 4 cli.
const FLOORS: [(&str, &[&str]); 7] = [
    ("store", &[]),
    ("embedded", &[]),
    ("guest", &["store"]),
    ("engine", &["store", "guest"]),
    ("admin", &["store", "guest"]),
    ("cli", &["store", "embedded", "guest", "engine", "admin"]),
    ("main", &["cli"]),
];

/// Parts of the standard library that reach out of the process, know the time or depend on chance.
const OUTSIDE_THE_RULES: [&str; 8] = ["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// A file of the repository: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `file:line: text` of the lines that are wrong, counted from 1.
    fn wrong<'a>(&'a self, is_wrong: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = String> {
        let lines = self.text.lines().enumerate();
        lines
            .filter(move |(_, line)| is_wrong(line))
            .map(|(number, line)| format!("{}:{}: {}", self.path, number + 1, line.trim()))
    }

    /// The text before the unit tests, which stand at the end of a file.
    fn without_tests(&self) -> Source {
        let end = self.text.find("#[cfg(test)]").unwrap_or(self.text.len());
        Source {
            path: self.path.clone(),
            text: self.text[..end].to_owned(),
        }
    }
}

/// Every text file of the tree. What is hidden, and folders that cargo marks as a cache, are not part of it.
fn files() -> Vec<Source> {
    let root = repository();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of a folder").path();
            if is_hidden(&path) || path.join("CACHEDIR.TAG").exists() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("it was found there");
                let path = path.display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name != ".ci"
}

fn rust_files() -> Vec<Source> {
    let mut files = files();
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(
        files.len() > 100,
        "only {} Rust files were found",
        files.len()
    );
    files
}

fn assert_none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let too_long = rust_files().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > MAX_LINES).then(|| format!("{}: {lines} lines", file.path))
    });
    assert_none(
        &format!("a Rust file has at most {MAX_LINES} lines; split it by idea"),
        too_long.collect(),
    );
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent = rust_files()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "));
    assert_none(
        "a Rust file begins with a //! line that says what it is about",
        silent.map(|file| file.path).collect(),
    );
}

#[test]
fn imports_go_down() {
    let mut broken = Vec::new();
    for file in rust_files() {
        let Some(part) = file.path.strip_prefix("host/src/").and_then(first_word) else {
            continue;
        };
        if part == "lib" {
            continue;
        }
        let allowed = FLOORS.iter().find(|(name, _)| *name == part);
        let Some((_, allowed)) = allowed else {
            broken.push(format!("{}: {part} has no floor yet", file.path));
            continue;
        };
        let up = named_parts(&file.text)
            .into_iter()
            .filter(|named| named != part && !allowed.contains(&named.as_str()));
        broken.extend(up.map(|named| format!("{}: {part} names {named}", file.path)));
    }
    assert_none(
        "imports go down only, never up or sideways (ARCHITECTURE.md, Floors)",
        broken,
    );
}

/// The parts of the host that a file names after `crate::` or, from outside the library, `projectionist::`.
fn named_parts(text: &str) -> BTreeSet<String> {
    let is_part = |name: &str| FLOORS.iter().any(|(part, _)| *part == name);
    let mut named = BTreeSet::new();
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    for root in ["crate::", "projectionist::"] {
        for (at, _) in code.match_indices(root) {
            // The generated bindings have a `projectionist` of their own.
            if root == "projectionist::" && code[..at].ends_with("::") {
                continue;
            }
            let rest = &code[at + root.len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => top_level(list).filter_map(first_word).collect(),
                None => first_word(rest).into_iter().collect(),
            };
            let parts = names.into_iter().filter(|name| is_part(name));
            named.extend(parts.map(str::to_owned));
        }
    }
    named
}

/// The members of a list in braces, its opening brace left out, that are not in inner braces.
fn top_level(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut members = Vec::new();
    let mut begin = 0;
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&list[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    members.into_iter().map(str::trim)
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
        .filter(|word| !word.is_empty())
}

#[test]
fn reads_what_a_file_names() {
    let named = |text| named_parts(text).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::store::{self, Batch};"), ["store"]);
    assert_eq!(
        named("pub use crate::{\n    admin::{import, guest},\n    engine,\n};"),
        ["admin", "engine"]
    );
    assert_eq!(named("let kind = crate::guest::Kind::of(x);"), ["guest"]);
    assert_eq!(named("// crate::cli knows more"), [""; 0]);
    assert_eq!(named("    projectionist::cli::main()"), ["cli"]);
    assert_eq!(named("use crate::Error;"), [""; 0]);
}

#[test]
fn the_rules_reach_for_nothing_outside() {
    let folder = "host/subscription/";
    let mut broken = Vec::new();
    for file in rust_files() {
        if !file.path.starts_with(folder) || !file.path.contains("/src/") {
            continue;
        }
        broken.extend(file.without_tests().wrong(|line| {
            OUTSIDE_THE_RULES
                .iter()
                .any(|part| line.contains(&format!("std::{part}")))
                || line.contains("std::{")
        }));
    }
    let manifest = fs::read_to_string(repository().join(folder).join("Cargo.toml"))
        .expect("the crate of the rules has a manifest");
    let dependencies = section(&manifest, "[dependencies]");
    broken.extend(
        dependencies
            .filter(|line| first_word(line) != Some("serde"))
            .map(|line| format!("{folder}Cargo.toml: {line}")),
    );
    assert_none(
        "floor 0 uses std and serde alone, and of std nothing that does I/O, tells the time or rolls dice",
        broken,
    );
}

/// The lines of a section of a manifest that say something.
fn section<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    manifest
        .lines()
        .skip_while(move |line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
}

#[test]
fn nothing_is_left_for_later_or_taken_for_granted() {
    // In halves, so that this file does not find itself.
    let never = [
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
    ];
    let mut broken = Vec::new();
    for file in rust_files() {
        broken.extend(file.wrong(|line| never.iter().any(|word| line.contains(word))));
        if file.path.starts_with("host/src/") || file.path.starts_with("host/subscription/src/") {
            let code = file.without_tests();
            broken.extend(code.wrong(|line| line.contains(".unwrap()")));
        }
    }
    assert_none(
        "tests are not switched off, code is finished, and `expect` says why it cannot fail",
        broken,
    );
}

#[test]
fn transactions_of_the_host_begin_at_the_store() {
    let mut broken = Vec::new();
    for file in rust_files() {
        let is_the_store = file.path == "host/src/store/mod.rs";
        if file.path.starts_with("host/src/") && !is_the_store {
            let code = file.without_tests();
            broken.extend(code.wrong(|line| {
                [".pool().begin(", "connection.begin("]
                    .iter()
                    .any(|begin| line.contains(begin))
            }));
        }
    }
    assert_none(
        "`Store::begin` leaves no session in a transaction when it is given up, which the driver does",
        broken,
    );
}

#[test]
fn every_statement_is_used() {
    let all = files();
    let is_statement = |file: &&Source| {
        file.path.starts_with("host/src/")
            && Path::new(&file.path).extension() == Some("sql".as_ref())
    };
    let code: Vec<&Source> = all
        .iter()
        .filter(|file| file.path.starts_with("host/src/") && file.path.ends_with(".rs"))
        .collect();
    let unused = all.iter().filter(is_statement).filter(|statement| {
        let name = PathBuf::from(&statement.path);
        let name = format!(
            "sql/{}\"",
            name.file_name().unwrap_or_default().to_string_lossy()
        );
        !code.iter().any(|file| file.text.contains(&name))
    });
    assert_none(
        "a statement that nothing includes is removed",
        unused.map(|file| file.path.clone()).collect(),
    );
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let mut broken = Vec::new();
    for file in files() {
        broken.extend(file.wrong(|line| {
            // Somebody's home in an example is nobody's.
            let line = line.replace(concat!("/ho", "me/ann"), "");
            places.iter().any(|place| line.contains(place))
        }));
    }
    assert_none("no file names a place of one machine", broken);
}

#[test]
fn the_readme_knows_every_verb() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let table = readme
        .split("## Verbs")
        .nth(1)
        .expect("the README has a section Verbs")
        .split("\n## ")
        .next()
        .unwrap_or_default();
    let mut told = BTreeSet::new();
    for cell in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cell = cell.split(" |").next().unwrap_or_default();
        told.extend(cell.split('`').filter_map(first_word).map(str::to_owned));
    }
    let real: BTreeSet<String> = projectionist::cli::verbs()
        .into_iter()
        .filter(|verb| verb != "help")
        .collect();
    assert_eq!(
        told, real,
        "left: the verbs of the README; right: those of the command"
    );
}
