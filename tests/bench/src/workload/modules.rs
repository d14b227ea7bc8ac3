//! Directories of modules for a host.

use std::fs;

use tempfile::TempDir;

use crate::Bench;

/// What stands for the line in the id of the guest that waits.
const WAITS: &[u8] = b"waits_aa_1";

/// A directory with one guest.
pub fn with(bench: &Bench, guest: &str) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join(format!("{guest}.wasm"));
    fs::copy(bench.guest(guest), file)?;
    Ok(directory)
}

/// Adds guests that wait for an event that never happens: one module under other ids of the same length.
pub fn add_waiting(bench: &Bench, directory: &TempDir, count: u8) -> anyhow::Result<()> {
    let bytes = fs::read(bench.guest("waits"))?;
    for letter in (b'a'..=b'z').take(count.into()) {
        let mut other = bytes.clone();
        let places: Vec<usize> = bytes
            .windows(WAITS.len())
            .enumerate()
            .filter(|(_, window)| *window == WAITS)
            .map(|(at, _)| at)
            .collect();
        anyhow::ensure!(!places.is_empty(), "the id is not in the module");
        for at in places {
            other[at + WAITS.len() - 3] = letter;
        }
        let name = format!("waits_{}.wasm", char::from(letter));
        fs::write(directory.path().join(name), other)?;
    }
    Ok(())
}
