//! Directories and log tails, with errors that name the path.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Error;

/// How much of the end of a log is shown, in bytes.
const TAIL_BYTES: u64 = 4096;

/// Makes a directory of exactly this mode, whatever the umask. One that is there already is left as it is.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => set_mode(path, mode),
        Err(found) if found.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::File {
            doing: "making the directory",
            path: path.into(),
            source,
        }),
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::file("setting the mode of", path))
}

/// The last lines of a log that were written behind byte `from`, or why there are none.
pub(super) fn tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES).max(from)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => "(empty)".to_string(),
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_string(),
        Err(failure) => format!("({failure})"),
    }
}
