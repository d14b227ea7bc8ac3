//! The lines of a file, plain or compressed: judged once, then read again as events.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{BAD_LINES_TOLD, BadLine, LINES_PER_REPORT, Progress};
use crate::store::{EventLine, ImportLine, MAX_LINE_BYTES};

/// What a gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 256 * 1024;
/// Ids of lines without one are derived below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x3c2a_6a0e_5f0b_5c53_9d5e_6f2b_4a7d_1e90);

/// What was found in a file.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// Lines, the empty ones too.
    pub lines: u64,
    pub events: u64,
    pub bad: u64,
    pub first_bad: Vec<BadLine>,
    /// SHA-256 of the lines, uncompressed: compressing a file does not make it another one.
    pub digest: [u8; 32],
}

/// How ids follow from a file.
pub(super) struct DerivedIds {
    file: Uuid,
}

#[derive(Debug)]
pub(super) enum Error {
    /// A line that was an event when it was judged.
    BadLine,
    Read(io::Error),
}

/// Reads a file line by line.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    /// Bytes of the file itself that were read, and that there are.
    read_bytes: Arc<AtomicU64>,
    total_bytes: u64,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
}

impl Verdict {
    pub(super) fn ids(&self) -> DerivedIds {
        DerivedIds {
            file: Uuid::new_v5(&NAMESPACE, &self.digest),
        }
    }
}

impl DerivedIds {
    fn of_line(&self, number: u64) -> Uuid {
        Uuid::new_v5(&self.file, number.to_string().as_bytes())
    }
}

impl Lines {
    pub(super) fn new(mut file: File) -> io::Result<Lines> {
        let total_bytes = file.metadata()?.len();
        let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)?;
        file.rewind()?;
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner: file,
            read_bytes: Arc::clone(&read_bytes),
        };
        let reader: Box<dyn Read + Send> = if magic == GZIP_MAGIC {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                BUFFER_BYTES,
                counted,
            )))
        } else {
            Box::new(counted)
        };
        Ok(Lines {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            read_bytes,
            total_bytes,
            hash: Sha256::new(),
            line: Vec::new(),
            number: 0,
        })
    }

    /// Reads to the end and judges every line.
    pub(super) fn judge(&mut self, report: impl Fn(Progress)) -> io::Result<Verdict> {
        let (mut events, mut bad) = (0, 0);
        let mut first_bad = Vec::new();
        while let Some(parsed) = self.next()? {
            match parsed {
                Ok(Some(_)) => events += 1,
                Ok(None) => {}
                Err(reason) => {
                    bad += 1;
                    if first_bad.len() < BAD_LINES_TOLD {
                        first_bad.push(BadLine {
                            number: self.number,
                            reason,
                        });
                    }
                }
            }
            if self.number.is_multiple_of(LINES_PER_REPORT) {
                report(Progress::Checking {
                    bytes: self.read_bytes.load(Ordering::Relaxed),
                    of: self.total_bytes,
                });
            }
        }
        Ok(Verdict {
            lines: self.number,
            events,
            bad,
            first_bad,
            digest: self.digest(),
        })
    }

    /// The next events, up to a limit that the last of them may pass. None at the end of the file.
    pub(super) fn chunk(
        &mut self,
        ids: &DerivedIds,
        events: usize,
        bytes: usize,
    ) -> Result<Vec<ImportLine>, Error> {
        let mut chunk = Vec::with_capacity(events);
        let mut size = 0;
        while chunk.len() < events && size < bytes {
            match self.next().map_err(Error::Read)? {
                None => break,
                Some(Ok(None)) => continue,
                Some(Err(_)) => return Err(Error::BadLine),
                Some(Ok(Some(EventLine { stream, event }))) => {
                    let stream = stream.ok_or(Error::BadLine)?;
                    let id = event.id.unwrap_or_else(|| ids.of_line(self.number));
                    size += self.line.len();
                    chunk.push(ImportLine {
                        number: self.number,
                        id,
                        stream,
                        event,
                    });
                }
            }
        }
        Ok(chunk)
    }

    /// SHA-256 of what was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The next line: an event, nothing on an empty line, or the reason why it is neither. None at the end of the file.
    fn next(&mut self) -> io::Result<Option<Result<Option<EventLine>, String>>> {
        self.line.clear();
        let read = self
            .reader
            .by_ref()
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.hash.update(&self.line);
        if self.line.len() > MAX_LINE_BYTES && self.line.last() != Some(&b'\n') {
            self.skip_line()?;
            return Ok(Some(Err(format!(
                "it is longer than {MAX_LINE_BYTES} bytes"
            ))));
        }
        Ok(Some(parse(&self.line, self.number)))
    }

    /// Goes to the end of a line that is too long to be kept.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| at + 1);
            let length = end.unwrap_or(buffer.len());
            self.hash.update(&buffer[..length]);
            self.reader.consume(length);
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

fn parse(line: &[u8], number: u64) -> Result<Option<EventLine>, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("it is not UTF-8 (byte {})", error.valid_up_to() + 1))?;
    // Files of other systems begin with a mark.
    let text = if number == 1 {
        text.trim_start_matches('\u{feff}')
    } else {
        text
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let line = EventLine::parse(text).map_err(|bad| bad.0)?;
    if line.stream.is_none() {
        return Err("missing field `stream`".to_owned());
    }
    Ok(Some(line))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
