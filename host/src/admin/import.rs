//! Taking a file of events into the log: the whole file is read and judged first, then written in chunks.

mod lines;

use std::fs::File;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::store::{self, ImportLine, Importer, Store, Written};
use lines::{Lines, Verdict};

/// Events of one transaction at most. Larger chunks are hardly faster, and hold the horizon longer.
const CHUNK_EVENTS: usize = 5_000;
/// Bytes of one transaction, counted in the file; a larger single event is a chunk of its own.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Chunks that are read ahead of the database.
const CHUNKS_AHEAD: usize = 2;
/// Bad lines that are told one by one; the rest are counted.
pub const BAD_LINES_TOLD: usize = 20;
/// Lines between two calls of the progress callback while a file is read.
const LINES_PER_REPORT: u64 = 2_000;

/// Where the lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    File(PathBuf),
    /// Standard input, which is first copied to a temporary file, because lines are read twice.
    Standard,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the file (as it is stored, so possibly compressed) that were judged.
    Checking { bytes: u64, of: u64 },
    /// Events that are in the log, of those that the file has.
    Writing { events: u64, of: u64 },
}

/// A line that is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: u64,
    pub reason: String,
}

/// An error of an import. Up to `BadLines` nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("standard input could not be copied to a temporary file")]
    Spool { source: std::io::Error },
    #[error("{count} of {lines} lines are not events; nothing was imported")]
    BadLines {
        lines: u64,
        count: u64,
        first: Vec<BadLine>,
    },
    #[error("the file changed while it was imported; {imported} events of it are in the log")]
    Changed { imported: u64 },
    #[error("the import stopped after {} events; the same command goes on from there", written.imported)]
    Stopped {
        written: Written,
        source: store::Error,
    },
}

/// Takes a file into the log, and says how many events were new.
///
/// A line without an id gets one that follows from the content of the whole file and its number, so that an import that was
/// interrupted can be repeated.
pub async fn import(
    store: &Store,
    input: &Input,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Written, Error> {
    let file = open(input).await?;
    let verdict = check(&file, &progress).await?;
    if verdict.bad > 0 {
        return Err(Error::BadLines {
            lines: verdict.lines,
            count: verdict.bad,
            first: verdict.first_bad,
        });
    }
    write(store, &file, &verdict, &progress).await
}

/// A file that can be read twice.
struct Opened {
    path: PathBuf,
    /// Keeps the copy of standard input alive.
    _spool: Option<tempfile::NamedTempFile>,
}

async fn open(input: &Input) -> Result<Opened, Error> {
    match input {
        Input::File(path) => Ok(Opened {
            path: path.clone(),
            _spool: None,
        }),
        Input::Standard => {
            let copied = spawn_blocking(|| {
                let mut spool = tempfile::NamedTempFile::new()?;
                std::io::copy(&mut std::io::stdin().lock(), &mut spool)?;
                Ok(spool)
            });
            let spool = copied
                .await
                .expect("copying does not panic")
                .map_err(|source| Error::Spool { source })?;
            Ok(Opened {
                path: spool.path().to_owned(),
                _spool: Some(spool),
            })
        }
    }
}

impl Opened {
    fn lines(&self) -> Result<Lines, Error> {
        File::open(&self.path)
            .and_then(Lines::new)
            .map_err(|source| Error::Unreadable {
                path: self.path.clone(),
                source,
            })
    }
}

/// Judges every line.
async fn check(
    file: &Opened,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<Verdict, Error> {
    let mut lines = file.lines()?;
    let path = file.path.clone();
    let (reports, mut reported) = mpsc::channel(1);
    let judging = spawn_blocking(move || {
        lines.judge(|progress| {
            // A report that nobody has taken yet is as good as this one.
            let _ = reports.try_send(progress);
        })
    });
    while let Some(report) = reported.recv().await {
        progress(report);
    }
    let verdict = judging.await.expect("reading lines does not panic");
    verdict.map_err(|source| Error::Unreadable { path, source })
}

/// Writes every line, reading ahead of the database.
async fn write(
    store: &Store,
    file: &Opened,
    verdict: &Verdict,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<Written, Error> {
    let mut lines = file.lines()?;
    let ids = verdict.ids();
    let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    let reading = spawn_blocking(move || {
        loop {
            let chunk: Vec<ImportLine> = lines.chunk(&ids, CHUNK_EVENTS, CHUNK_BYTES)?;
            if chunk.is_empty() {
                return Ok(lines.digest());
            }
            if sender.blocking_send(chunk).is_err() {
                return Ok(lines.digest());
            }
        }
    });

    let mut importer = Importer::new(store);
    let mut total = Written::default();
    while let Some(chunk) = chunks.recv().await {
        match importer.write(&chunk).await {
            Ok(written) => {
                total.imported += written.imported;
                total.already_there += written.already_there;
            }
            Err(source) => {
                return Err(Error::Stopped {
                    written: total,
                    source,
                });
            }
        }
        progress(Progress::Writing {
            events: total.imported + total.already_there,
            of: verdict.events,
        });
    }
    match reading.await.expect("reading lines does not panic") {
        Ok(digest) if digest == verdict.digest => Ok(total),
        Ok(_) => Err(Error::Changed {
            imported: total.imported,
        }),
        Err(lines::Error::BadLine) => Err(Error::Changed {
            imported: total.imported,
        }),
        Err(lines::Error::Read(source)) => Err(Error::Unreadable {
            path: file.path.clone(),
            source,
        }),
    }
}

/// The path that a person gave, `-` being standard input.
impl From<&Path> for Input {
    fn from(path: &Path) -> Input {
        if path == Path::new("-") {
            Input::Standard
        } else {
            Input::File(path.to_owned())
        }
    }
}
