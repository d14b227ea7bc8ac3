//! Which file speaks for an id, and which ids are gone.
//!
//! An unmounted directory looks like an empty one, and a host that is started beside another may watch a
//! different directory. Neither may detach anything, so an id is missing only when all evidence says so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Digest, SubscriberId};

/// A file that describes itself with some id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the directory.
    pub name: String,
    pub digest: Digest,
}

/// The file that speaks for an id, and the others, which are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    pub file: &'a File,
    /// By name.
    pub others: Vec<&'a File>,
}

/// What one look at a directory saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It could not be read.
    Unreadable,
    /// It can be read, but the marker that the host put there is gone: something else is mounted there.
    Unmarked,
    /// It holds the files of these ids. A file that broke since it was last good still holds its id.
    Holds(BTreeSet<SubscriberId>),
}

/// The file that speaks for an id among all files with it: the one with the stored digest, else the first by
/// name. `None` without files.
pub fn choose<'a>(files: &'a [File], stored: Option<&Digest>) -> Option<Chosen<'a>> {
    let mut by_name: Vec<&File> = files.iter().collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    let known = by_name.iter().position(|file| Some(&file.digest) == stored);
    let index = known.unwrap_or(0);
    if by_name.is_empty() {
        return None;
    }
    let file = by_name.remove(index);
    Some(Chosen {
        file,
        others: by_name,
    })
}

/// Whether one of these ids is a later version of the same line: then the earlier one runs on from its stored bytes until the
/// later one takes over, with its file or without.
pub fn has_successor<'a>(
    id: &SubscriberId,
    among: impl IntoIterator<Item = &'a SubscriberId>,
) -> bool {
    among
        .into_iter()
        .any(|other| other.line() == id.line() && other.version() > id.version())
}

/// The ids whose guest is gone. One that has a successor is not: see [`has_successor`].
///
/// - `attached`: subscriptions that are not Detached.
/// - `held`: ids that this directory held at an earlier look.
/// - `elsewhere`: ids that the directories of other live hosts hold.
pub fn missing(
    attached: &BTreeSet<SubscriberId>,
    held: &BTreeSet<SubscriberId>,
    look: &Look,
    elsewhere: &BTreeSet<SubscriberId>,
) -> BTreeSet<SubscriberId> {
    let Look::Holds(here) = look else {
        return BTreeSet::new();
    };
    attached
        .intersection(held)
        .filter(|id| !here.contains(id) && !elsewhere.contains(id))
        .filter(|id| !has_successor(id, here.iter().chain(elsewhere)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{File, Look, choose, missing};
    use crate::{Kind, SubscriberId};

    fn file(name: &str, digest: u8) -> File {
        File {
            name: name.to_owned(),
            digest: [digest; 32],
        }
    }

    #[test]
    fn the_stored_digest_wins_else_the_first_by_name() {
        let files = [
            file("b.wasm", 2),
            file("c.wasm", 3),
            file("a.wasm", 1),
            file("d.wasm", 3),
        ];
        let cases = [
            (None, "a.wasm", ["b.wasm", "c.wasm", "d.wasm"]),
            (Some(2), "b.wasm", ["a.wasm", "c.wasm", "d.wasm"]),
            (Some(3), "c.wasm", ["a.wasm", "b.wasm", "d.wasm"]),
            (Some(9), "a.wasm", ["b.wasm", "c.wasm", "d.wasm"]),
        ];
        for (stored, expected, others) in cases {
            let digest = stored.map(|byte| [byte; 32]);
            let chosen = choose(&files, digest.as_ref()).expect("there are files");
            assert_eq!(chosen.file.name, expected, "{stored:?}");
            let names: Vec<&str> = chosen
                .others
                .iter()
                .map(|file| file.name.as_str())
                .collect();
            assert_eq!(names, others, "{stored:?}");
        }
        assert_eq!(choose(&[], None), None);
    }

    fn ids(texts: &[&str]) -> BTreeSet<SubscriberId> {
        let parse = |text: &&str| SubscriberId::parse(text, Kind::Projector).expect("a good id");
        texts.iter().map(parse).collect()
    }

    #[test]
    fn an_id_is_missing_only_when_all_evidence_says_so() {
        let a = || ids(&["a_1"]);
        let none = || ids(&[]);
        let gone = || Look::Holds(ids(&["b_1"]));
        let cases = [
            (
                "held before, held by nobody now",
                a(),
                a(),
                gone(),
                none(),
                a(),
            ),
            (
                "the directory is empty",
                a(),
                a(),
                Look::Holds(none()),
                none(),
                a(),
            ),
            (
                "the file is there",
                a(),
                a(),
                Look::Holds(a()),
                none(),
                none(),
            ),
            ("unreadable", a(), a(), Look::Unreadable, none(), none()),
            ("unmarked", a(), a(), Look::Unmarked, none(), none()),
            ("never held here", a(), none(), gone(), none(), none()),
            ("already detached", none(), a(), gone(), none(), none()),
            ("another host has it", a(), a(), gone(), a(), none()),
            (
                "a later version took its place",
                a(),
                a(),
                Look::Holds(ids(&["a_2"])),
                none(),
                none(),
            ),
            (
                "another host has a later version",
                a(),
                a(),
                gone(),
                ids(&["a_2"]),
                none(),
            ),
            (
                "an earlier version took its place",
                ids(&["a_2"]),
                ids(&["a_2"]),
                Look::Holds(a()),
                none(),
                ids(&["a_2"]),
            ),
        ];
        for (case, attached, held, look, elsewhere, expected) in cases {
            assert_eq!(
                missing(&attached, &held, &look, &elsewhere),
                expected,
                "{case}"
            );
        }
    }
}
