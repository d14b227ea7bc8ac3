//! Directories of modules for a host.

use std::fs;

use tempfile::TempDir;

use crate::Bench;

/// Ids in which two letters stand for others.
const WAITS: &str = "waits_aa_1";
const TALLIES: &str = "tallies_aa_1";

/// A directory with one guest.
pub fn with(bench: &Bench, guest: &str) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join(format!("{guest}.wasm"));
    fs::copy(bench.guest(guest), file)?;
    Ok(directory)
}

/// Adds guests that wait for an event that never happens.
pub fn add_waiting(bench: &Bench, directory: &TempDir, count: u8) -> anyhow::Result<()> {
    add(bench, directory, "waits", WAITS, count.into())
}

/// A directory with guests that all count the same events.
pub fn with_tallies(bench: &Bench, count: usize) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    add(bench, &directory, "tallies", TALLIES, count)?;
    Ok(directory)
}

/// The id of one of them.
pub fn tallies_id(number: usize) -> String {
    TALLIES.replacen("aa", &letters(number), 1)
}

/// One module under other ids of the same length.
fn add(
    bench: &Bench,
    directory: &TempDir,
    guest: &str,
    id: &str,
    count: usize,
) -> anyhow::Result<()> {
    let bytes = fs::read(bench.guest(guest))?;
    let places: Vec<usize> = bytes
        .windows(id.len())
        .enumerate()
        .filter(|(_, window)| *window == id.as_bytes())
        .map(|(at, _)| at)
        .collect();
    anyhow::ensure!(!places.is_empty(), "the id {id} is not in the module");
    for number in 0..count {
        let other = id.replacen("aa", &letters(number), 1);
        let mut copy = bytes.clone();
        for at in &places {
            copy[*at..at + other.len()].copy_from_slice(other.as_bytes());
        }
        fs::write(directory.path().join(format!("{other}.wasm")), copy)?;
    }
    Ok(())
}

fn letters(number: usize) -> String {
    let letter = |at: usize| char::from(b'a' + u8::try_from(at % 26).unwrap_or(0));
    String::from_iter([letter(number / 26), letter(number)])
}
