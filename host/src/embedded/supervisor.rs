//! The small shell between host and server, so that the server ends with its host even when the host is killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use super::Error;
use super::account::Account;

const SCRIPT: &str = include_str!("supervisor.sh");

/// Runs `program` with `arguments` until the pipe that the returned child's standard input is closes.
pub(super) fn spawn(
    account: &Account,
    program: &Path,
    arguments: &[String],
    lock: File,
    log: File,
) -> Result<Child, Error> {
    let sh = Path::new("/bin/sh");
    account
        .command(sh)
        .args(["-c", SCRIPT, "projectionist-postgres"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(lock)
        .stderr(log)
        // A group of its own: ctrl-c is for the host, which stops the server when it no longer needs it.
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Spawn {
            program: sh.into(),
            source,
        })
}
