//! A directory of modules, as an operator has it: files appear in it whole, are replaced and removed.

use std::fs;
use std::path::{Path, PathBuf};

use projectionist::guest::Compiler;
use tempfile::TempDir;

use super::guests;
use super::process::compiled_modules;

/// A directory that goes with its test.
pub struct Modules {
    directory: TempDir,
}

impl Modules {
    pub fn new() -> Modules {
        let directory = tempfile::Builder::new()
            .prefix("pj-modules-")
            .tempdir()
            .expect("a temporary directory");
        Modules { directory }
    }

    /// A directory in which `NAME.wasm` holds each of these guests.
    pub fn with(names: &[&str]) -> Modules {
        let modules = Modules::new();
        for name in names {
            modules.put(&format!("{name}.wasm"), name);
        }
        modules
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, file: &str) -> PathBuf {
        self.path().join(file)
    }

    /// Puts a guest into a file, at once.
    pub fn put(&self, file: &str, guest: &str) {
        self.put_bytes(file, &bytes_of(guest));
    }

    /// Puts bytes into a file, at once: there is never half of it under that name.
    pub fn put_bytes(&self, file: &str, bytes: &[u8]) {
        let unfinished = self.file(&format!(".{file}.unfinished"));
        fs::write(&unfinished, bytes).expect("written");
        fs::rename(unfinished, self.file(file)).expect("renamed");
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.file(file)).expect("removed");
    }
}

/// The component of a guest.
pub fn bytes_of(guest: &str) -> Vec<u8> {
    fs::read(guests::path(guest)).expect("a built guest")
}

/// The bytes with each occurrence of a text replaced by another of the same length: the same guest with other bytes.
pub fn with_text(bytes: &[u8], text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let mut bytes = bytes.to_vec();
    let found: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
        .collect();
    assert!(!found.is_empty(), "{text} is in the bytes");
    for at in found {
        bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
    }
    bytes
}

/// The real binary compiles; what it compiled is shared by all tests and kept under the target directory.
pub fn compiler() -> Compiler {
    Compiler::new(
        PathBuf::from(env!("CARGO_BIN_EXE_projectionist")),
        compiled_modules(),
    )
}
