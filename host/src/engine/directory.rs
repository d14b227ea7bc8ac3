//! Looking at the directory of modules: names and contents, stable over two looks. A file event is only a hint to look.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::guest::{MAX_SETTINGS_BYTES, Refusal, check_size};
use crate::store::Digest;

/// The file that tells this directory from an empty mount point. The host puts it there.
pub const MARKER: &str = ".projectionist";

/// Modules that one directory may hold.
pub const MAX_MODULES: usize = 1_000;

/// Ids, each with the file that holds it.
pub(super) type Marker = BTreeMap<String, String>;

/// A directory and what the last look saw.
pub(super) struct Directory {
    path: PathBuf,
    seen: HashMap<String, Seen>,
}

struct Seen {
    stamp: Stamp,
    settings_stamp: Option<Stamp>,
    /// None: not yet seen twice with the same content.
    found: Option<Found>,
    digest: Option<Digest>,
}

/// What changes when a file is written, as far as the file system tells.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    inode: u64,
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
        }
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
        let text = fs::read_to_string(self.path.join(MARKER)).ok()?;
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
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            match name.to_str() {
                Some(name) if name.ends_with(".wasm") && !name.starts_with('.') => {
                    names.push(name.to_owned())
                }
                _ => {}
            }
        }
        names.sort();
        files.marker = self.read_marker();
        self.seen.retain(|name, _| names.contains(name));
        for (index, name) in names.into_iter().enumerate() {
            if index >= MAX_MODULES {
                let reason = format!(
                    "the directory holds more than {MAX_MODULES} modules, the limit of one host; move some to another directory"
                );
                files.stable.insert(
                    name,
                    Found::Refused {
                        digest: None,
                        refusal: Refusal::BadSettings { reason },
                    },
                );
                continue;
            }
            match self.look_at(&name) {
                Ok(Some(found)) => drop(files.stable.insert(name, found)),
                Ok(None) => files.moving.push(name),
                // Gone between the listing and the look: the next look does not list it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => drop(
                    files
                        .stable
                        .insert(name, refused(format!("the file cannot be read: {error}"))),
                ),
            }
        }
        Ok(Look::Readable(files))
    }

    /// The file if it holds still, `None` if it must be looked at again.
    fn look_at(&mut self, name: &str) -> io::Result<Option<Found>> {
        let path = self.path.join(name);
        let metadata = fs::symlink_metadata(&path)?;
        if !metadata.is_file() {
            return Ok(Some(refused(
                "not a regular file; copy the module itself here, not a link or a directory"
                    .to_owned(),
            )));
        }
        if let Err(refusal) = check_size(metadata.len()) {
            return Ok(Some(Found::Refused {
                digest: None,
                refusal,
            }));
        }
        let settings_path = path.with_extension("toml");
        let settings_stamp = fs::symlink_metadata(&settings_path)
            .ok()
            .filter(Metadata::is_file)
            .map(|metadata| stamp(&metadata));
        let stamp = stamp(&metadata);
        if let Some(seen) = self.seen.get(name)
            && seen.stamp == stamp
            && seen.settings_stamp == settings_stamp
            && seen.found.is_some()
        {
            return Ok(seen.found.clone());
        }
        let digest: Digest = Sha256::digest(fs::read(&path)?).into();
        let held_still = self.seen.get(name).is_some_and(|seen| {
            seen.stamp == stamp
                && seen.settings_stamp == settings_stamp
                && seen.digest == Some(digest)
        });
        let found = if held_still {
            Some(read_settings(&path, digest, settings_stamp)?)
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

fn read_settings(path: &Path, digest: Digest, stamp: Option<Stamp>) -> io::Result<Found> {
    let settings = match stamp {
        None => None,
        Some(stamp) if stamp.size > MAX_SETTINGS_BYTES => {
            let reason = format!(
                "its settings file has {} bytes, more than the limit of {MAX_SETTINGS_BYTES}",
                stamp.size
            );
            return Ok(Found::Refused {
                digest: Some(digest),
                refusal: Refusal::BadSettings { reason },
            });
        }
        Some(_) => match String::from_utf8(fs::read(path.with_extension("toml"))?) {
            Ok(text) => Some(text),
            Err(_) => {
                let reason =
                    "its settings file is not UTF-8 text; write it as TOML in UTF-8".to_owned();
                return Ok(Found::Refused {
                    digest: Some(digest),
                    refusal: Refusal::BadSettings { reason },
                });
            }
        },
    };
    Ok(Found::Module {
        digest,
        path: path.to_owned(),
        settings,
    })
}

fn refused(reason: String) -> Found {
    Found::Refused {
        digest: None,
        refusal: Refusal::BadSettings { reason },
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        inode: metadata.ino(),
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
