//! Reading a file of the directory of modules: only a regular one, never through a link, and no more than it may have.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// What changes when a file is written, as far as the file system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: u64,
    modified: (i64, i64),
    inode: u64,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("not a regular file; copy the file itself here, not a link or a directory")]
    NotRegular,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// An open file: what it is called by now does not matter any more.
pub(super) struct Regular {
    file: File,
    pub stamp: Stamp,
}

impl Regular {
    /// Opens a file. A pipe is not waited for, and a link is not followed: whatever stood under this name a moment ago.
    pub fn open(path: &Path) -> Result<Regular, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            // A link, or something without anything to read, such as a socket.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
                return Err(Error::NotRegular);
            }
            Err(error) => return Err(Error::Io(error.into())),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::NotRegular);
        }
        Ok(Regular {
            file,
            stamp: Stamp {
                size: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                inode: metadata.ino(),
            },
        })
    }

    /// All of it, or one byte more than the limit.
    pub fn read(self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nobody_is_waited_for() {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        fs::write(path("file"), b"four").expect("written");
        symlink(path("file"), path("link")).expect("linked");
        fs::create_dir(path("directory")).expect("made");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .expect("made");
        std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        for name in ["link", "directory", "pipe", "socket"] {
            let refused = Regular::open(&path(name)).err();
            assert!(matches!(refused, Some(Error::NotRegular)), "{name}");
        }
        let file = Regular::open(&path("file")).expect("opened");
        assert_eq!(file.stamp.size, 4);
        assert_eq!(file.read(2).expect("read"), b"fou");
    }
}
