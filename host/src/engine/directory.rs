//! Looking at the directory of modules: names and contents, stable over two looks, or known to be whole. A file event is only a hint to look.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::regular::{self, Regular, Stamp};
use crate::guest::limits::{
    MAX_DIRECTORY_ENTRIES, MAX_FILE_NAME_BYTES, MAX_MODULE_BYTES, MAX_MODULES,
};
use crate::guest::{MAX_SETTINGS_BYTES, Refusal, check_size, text};
use crate::store::Digest;

/// The file that tells this directory from an empty mount point. The host puts it there.
pub const MARKER: &str = ".projectionist";

/// Largest marker that is believed, in bytes: a line for each module that there may be.
const MAX_MARKER_BYTES: u64 = 1024 * 1024;

/// Modules that are remembered as whole.
const MAX_WHOLE: usize = 1_000;

/// Ids, each with the file that holds it.
pub(super) type Marker = BTreeMap<String, String>;

/// A directory and what the last look saw.
pub(super) struct Directory {
    path: PathBuf,
    seen: HashMap<String, Seen>,
    /// Contents that were modules: none of them is half a file.
    whole: HashSet<Digest>,
}

struct Seen {
    stamp: Stamp,
    settings_stamp: Option<Stamp>,
    /// None: not yet seen twice with the same content.
    found: Option<Found>,
    digest: Option<Digest>,
}

/// A file that holds still.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Module {
        digest: Digest,
        path: PathBuf,
        settings: Option<String>,
    },
    Refused {
        digest: Option<Digest>,
        refusal: Refusal,
    },
}

/// What one look saw.
#[derive(Debug)]
pub(super) enum Look {
    Unreadable(io::Error),
    Readable(Files),
}

#[derive(Debug, Default)]
pub(super) struct Files {
    /// The ids that the marker names, each with its file; None without a marker.
    pub marker: Option<Marker>,
    pub stable: BTreeMap<String, Found>,
    /// Files that changed since the last look: look again soon.
    pub moving: Vec<String>,
}

impl Directory {
    pub fn new(path: PathBuf) -> Directory {
        Directory {
            path,
            seen: HashMap::new(),
            whole: HashSet::new(),
        }
    }

    /// From now on this content need not hold still, as when a module goes back to an earlier one.
    pub fn is_whole(&mut self, digest: Digest) {
        if self.whole.len() >= MAX_WHOLE {
            self.whole.clear();
        }
        self.whole.insert(digest);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Marks the directory as ours, with the ids that it holds and their files, so that the next run knows what is gone.
    pub fn mark(&self, held: &Marker) -> io::Result<()> {
        let mut text = String::from(
            "# This directory holds modules of Projectionist: the ids below, when the host last looked.\n\
             # Without this file the host takes the directory for unmounted and detaches nothing.\n",
        );
        held.iter()
            .for_each(|(id, file)| text.extend([id, " ", file, "\n"]));
        // At once: another host may be reading it.
        let unfinished = self.path.join(format!("{MARKER}.{}", std::process::id()));
        fs::write(&unfinished, text)?;
        fs::rename(unfinished, self.path.join(MARKER))
    }

    fn read_marker(&self) -> Option<Marker> {
        let file = Regular::open(&self.path.join(MARKER)).ok()?;
        let text = String::from_utf8(file.read(MAX_MARKER_BYTES).ok()?).ok()?;
        let held = text.lines().filter(|line| !line.starts_with('#'));
        Some(
            held.map(|line| line.split_once(' ').unwrap_or((line, "")))
                .map(|(id, file)| (id.to_owned(), file.to_owned()))
                .collect(),
        )
    }

    /// One look. Reads only files that changed; blocks on the file system.
    pub fn look(&mut self) -> Look {
        match self.try_look() {
            Ok(look) => look,
            Err(error) => Look::Unreadable(error),
        }
    }

    fn try_look(&mut self) -> io::Result<Look> {
        let mut files = Files::default();
        let names = self.names()?;
        files.marker = self.read_marker();
        self.seen.retain(|name, _| names.contains(name));
        for (index, name) in names.into_iter().enumerate() {
            if index >= MAX_MODULES {
                // Each of them, so that an id that one of them held does not count as missing.
                files.stable.insert(name, refused(format!(
                    "the directory holds more than {MAX_MODULES} modules, the limit of one host (modules, which is fixed); move some to another directory"
                )));
                continue;
            }
            if let Some(reason) = bad_name(&name) {
                files
                    .stable
                    .insert(text::line(&name, MAX_FILE_NAME_BYTES), refused(reason));
                continue;
            }
            match self.look_at(&name) {
                Ok(Some(found)) => drop(files.stable.insert(name, found)),
                Ok(None) => files.moving.push(name),
                // Gone between the listing and the look: the next look does not list it.
                Err(regular::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => drop(files.stable.insert(name, refused(error.to_string()))),
            }
        }
        Ok(Look::Readable(files))
    }

    /// Names of what may be a module.
    fn names(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (index, entry) in fs::read_dir(&self.path)?.enumerate() {
            if index >= MAX_DIRECTORY_ENTRIES {
                return Err(io::Error::other(format!(
                    "it has more than {MAX_DIRECTORY_ENTRIES} entries, the limit (directory-entries, which is fixed); keep modules in a directory of their own"
                )));
            }
            match entry?.file_name().to_str() {
                Some(name) if name.ends_with(".wasm") && !name.starts_with('.') => {
                    names.insert(name.to_owned());
                }
                _ => {}
            }
        }
        Ok(names)
    }

    /// The file if it holds still, `None` if it must be looked at again.
    fn look_at(&mut self, name: &str) -> Result<Option<Found>, regular::Error> {
        let path = self.path.join(name);
        let file = Regular::open(&path)?;
        if let Err(refusal) = check_size(file.stamp.size) {
            return Ok(Some(Found::Refused {
                digest: None,
                refusal,
            }));
        }
        let settings = match Regular::open(&path.with_extension("toml")) {
            Ok(settings) => Some(settings),
            Err(regular::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Ok(Some(refused(format!("its settings file is {error}"))));
            }
        };
        let stamp = file.stamp;
        let settings_stamp = settings.as_ref().map(|settings| settings.stamp);
        if let Some(seen) = self.seen.get(name)
            && seen.stamp == stamp
            && seen.settings_stamp == settings_stamp
            && seen.found.is_some()
        {
            return Ok(seen.found.clone());
        }
        let digest: Digest = Sha256::digest(file.read(MAX_MODULE_BYTES)?).into();
        let held_still = self.seen.get(name).is_some_and(|seen| {
            let is_same = seen.stamp == stamp && seen.digest == Some(digest);
            seen.settings_stamp == settings_stamp && (is_same || self.whole.contains(&digest))
        });
        let found = if held_still {
            Some(read_settings(path, digest, settings)?)
        } else {
            None
        };
        self.seen.insert(
            name.to_owned(),
            Seen {
                stamp,
                settings_stamp,
                found: found.clone(),
                digest: Some(digest),
            },
        );
        Ok(found)
    }
}

fn read_settings(
    path: PathBuf,
    digest: Digest,
    settings: Option<Regular>,
) -> Result<Found, regular::Error> {
    let refused = |reason| {
        Ok(Found::Refused {
            digest: Some(digest),
            refusal: Refusal::BadSettings { reason },
        })
    };
    let settings = match settings {
        None => None,
        Some(settings) => {
            let bytes = settings.read(MAX_SETTINGS_BYTES)?;
            if bytes.len() as u64 > MAX_SETTINGS_BYTES {
                return refused(format!(
                    "its settings file has more than {MAX_SETTINGS_BYTES} bytes, the limit (settings-bytes, which is fixed); keep large data in the module or in a table"
                ));
            }
            match String::from_utf8(bytes) {
                Ok(text) => Some(text),
                Err(_) => {
                    return refused(
                        "its settings file is not UTF-8 text; write it as TOML in UTF-8".to_owned(),
                    );
                }
            }
        }
    };
    Ok(Found::Module {
        digest,
        path,
        settings,
    })
}

/// Why no file may be called so.
fn bad_name(name: &str) -> Option<String> {
    if name.len() > MAX_FILE_NAME_BYTES {
        return Some(format!(
            "its name has {} bytes, more than the limit of {MAX_FILE_NAME_BYTES} bytes (file-name-bytes, which is fixed); rename it",
            name.len()
        ));
    }
    if text::line(name, MAX_FILE_NAME_BYTES) != name {
        return Some("its name has characters that a terminal would obey; rename it".to_owned());
    }
    None
}

fn refused(reason: String) -> Found {
    Found::Refused {
        digest: None,
        refusal: Refusal::BadSettings { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(look: &Look) -> (Vec<&str>, Vec<&str>) {
        let Look::Readable(files) = look else {
            panic!("{look:?}")
        };
        (
            files.stable.keys().map(String::as_str).collect(),
            files.moving.iter().map(String::as_str).collect(),
        )
    }

    #[test]
    fn a_file_counts_once_it_held_still_over_two_looks() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory = Directory::new(root.path().to_owned());
        fs::write(root.path().join("a.wasm"), b"one").expect("written");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
        assert_eq!(names(&directory.look()), (vec!["a.wasm"], vec![]));
        fs::write(root.path().join("a.wasm"), b"other").expect("written");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
        fs::write(root.path().join("a.wasm"), b"and more").expect("written");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
        assert_eq!(names(&directory.look()), (vec!["a.wasm"], vec![]));
        fs::remove_file(root.path().join("a.wasm")).expect("removed");
        assert_eq!(names(&directory.look()), (vec![], vec![]));
    }

    #[test]
    fn what_was_a_module_before_counts_at_once_unless_its_settings_change_too() {
        let root = tempfile::tempdir().expect("a directory");
        let put = |name, bytes: &[u8]| fs::write(root.path().join(name), bytes).expect("written");
        let mut directory = Directory::new(root.path().to_owned());
        directory.is_whole(Sha256::digest(b"one").into());
        put("a.wasm", b"one");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
        put("a.wasm", b"other");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
        put("a.wasm", b"one");
        assert_eq!(names(&directory.look()), (vec!["a.wasm"], vec![]));
        put("a.wasm", b"other");
        directory.look();
        put("a.wasm", b"one");
        put("a.toml", b"[limits]");
        assert_eq!(names(&directory.look()), (vec![], vec!["a.wasm"]));
    }

    #[test]
    fn changed_settings_are_a_change_of_the_file() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory = Directory::new(root.path().to_owned());
        fs::write(root.path().join("a.wasm"), b"one").expect("written");
        directory.look();
        directory.look();
        fs::write(root.path().join("a.toml"), b"[limits]").expect("written");
        assert_eq!(names(&directory.look()).1, vec!["a.wasm"]);
        let Look::Readable(files) = directory.look() else {
            panic!("unreadable")
        };
        assert!(
            matches!(&files.stable["a.wasm"], Found::Module { settings: Some(text), .. } if text == "[limits]")
        );
    }

    #[test]
    fn names_are_short_and_plain() {
        let root = tempfile::tempdir().expect("a directory");
        let long = format!("{}.wasm", "n".repeat(MAX_FILE_NAME_BYTES));
        for name in [&long, "\u{1b}[2Jred.wasm"] {
            fs::write(root.path().join(name), b"one").expect("written");
        }
        let mut directory = Directory::new(root.path().to_owned());
        let look = directory.look();
        let (stable, _) = names(&look);
        assert_eq!(stable.len(), 2);
        assert!(
            stable.iter().all(|name| !name.contains('\u{1b}')),
            "{stable:?}"
        );
        let Look::Readable(files) = &look else {
            panic!("{look:?}")
        };
        assert!(
            files
                .stable
                .values()
                .all(|found| matches!(found, Found::Refused { .. }))
        );
    }

    #[test]
    fn settings_behind_a_link_are_refused() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("a.wasm"), b"one").expect("written");
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("a.toml")).expect("linked");
        let mut directory = Directory::new(root.path().to_owned());
        let Look::Readable(files) = directory.look() else {
            panic!("unreadable")
        };
        assert!(
            matches!(&files.stable["a.wasm"], Found::Refused { refusal, .. } if refusal.to_string().contains("settings file"))
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_a_missing_directory_is_unreadable() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("b.wasm")).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("c.wasm")).expect("linked");
        let mut directory = Directory::new(root.path().to_owned());
        let Look::Readable(files) = directory.look() else {
            panic!("unreadable")
        };
        assert!(
            files
                .stable
                .values()
                .all(|found| matches!(found, Found::Refused { .. }))
        );
        assert_eq!(files.stable.len(), 2);
        assert_eq!(files.marker, None);
        let held = Marker::from([("accounts_1".to_owned(), "my accounts.wasm".to_owned())]);
        directory.mark(&held).expect("marked");
        let Look::Readable(files) = directory.look() else {
            panic!("unreadable")
        };
        assert_eq!(files.marker, Some(held));
        assert!(matches!(
            Directory::new(root.path().join("gone")).look(),
            Look::Unreadable(_)
        ));
    }
}
