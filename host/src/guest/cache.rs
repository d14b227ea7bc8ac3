//! A directory of compiled modules: of mode 0700, addressed by content, and bounded.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

/// How the names of compiled modules end.
const SUFFIX: &str = ".cwasm";

#[derive(Clone, Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    bytes_max: u64,
}

impl Cache {
    pub fn new(directory: PathBuf, bytes_max: u64) -> Cache {
        Cache {
            directory,
            bytes_max,
        }
    }

    /// The file, if it is there. It counts as used just now.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.directory.join(name);
        let file = fs::File::open(&path).ok()?;
        // For the order in which files go. That of a file that cannot be touched is only less good.
        let _ = file.set_modified(SystemTime::now());
        Some(path)
    }

    /// Only the cache is closed to others: the directories above it may be there for more, such as a private server
    /// that runs as another user.
    pub fn prepare(&self) -> io::Result<()> {
        if let Some(parent) = self.directory.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
    }

    /// Puts a file into the cache, whole or not at all, and makes room for it.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.directory.join(name);
        let temporary = tempfile::NamedTempFile::new_in(&self.directory)?;
        fs::write(temporary.path(), bytes)?;
        temporary.persist(&path).map_err(|error| error.error)?;
        if let Err(error) = self.make_room(&path) {
            tracing::debug!("the cache of compiled modules could not be tidied: {error}");
        }
        Ok(path)
    }

    /// Removes what was not used for longest until the rest fits. Who has a file mapped keeps what he has.
    fn make_room(&self, newest: &PathBuf) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() && entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if path != *newest {
                fs::remove_file(path)?;
                total -= bytes;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `compile-cache-mib`.
    #[test]
    fn what_was_not_used_for_longest_goes() {
        let root = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(root.path().join("cache"), 250);
        cache.prepare().expect("made");
        for (age_s, name) in [(30, "a.cwasm"), (20, "b.cwasm"), (10, "c.cwasm")] {
            let path = root.path().join("cache").join(name);
            fs::write(&path, [0; 100]).expect("written");
            let then = SystemTime::now() - Duration::from_secs(age_s);
            let file = fs::File::options().write(true).open(path).expect("opened");
            file.set_modified(then).expect("made old");
        }
        fs::write(root.path().join("cache/other"), [0; 1_000]).expect("written");
        assert!(cache.find("a.cwasm").is_some(), "now it is the newest");
        cache.keep("d.cwasm", &[0; 100]).expect("kept");
        let there = ["a.cwasm", "b.cwasm", "c.cwasm", "d.cwasm", "other"];
        let there = there.map(|name| root.path().join("cache").join(name).exists());
        assert_eq!(there, [true, false, false, true, true]);
        cache.keep("large.cwasm", &[0; 1_000]).expect("kept");
        assert!(cache.find("large.cwasm").is_some(), "never the one in hand");
    }
}
