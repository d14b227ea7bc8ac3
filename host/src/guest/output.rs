//! What a guest writes to its standard output and error: its beginning and its end are kept up to a limit, what lies
//! between is dropped without harm. A panic is told at the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::limits::MAX_OUTPUT_BYTES;
use super::text;

/// Bytes of the beginning that are kept; the rest of the room is for the end.
const BEGINNING_BYTES: usize = MAX_OUTPUT_BYTES / 4;

/// A bounded memory of output. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    beginning: Vec<u8>,
    end: VecDeque<u8>,
    dropped_bytes: u64,
}

impl Output {
    /// What was kept, as text; `None` when nothing was written.
    pub fn text(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, end) = (kept.beginning.clone(), kept.end.iter());
        if kept.dropped_bytes > 0 {
            let note = format!("\n… {} bytes are left out …\n", kept.dropped_bytes);
            bytes.extend_from_slice(note.as_bytes());
        }
        bytes.extend(end);
        let text = text::block(String::from_utf8_lossy(&bytes).trim(), 2 * MAX_OUTPUT_BYTES);
        (!text.is_empty()).then_some(text)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = BEGINNING_BYTES.saturating_sub(kept.beginning.len());
        let (beginning, rest) = bytes.split_at(bytes.len().min(room));
        kept.beginning.extend_from_slice(beginning);
        kept.end.extend(rest);
        let too_many = (kept.end.len() + BEGINNING_BYTES).saturating_sub(MAX_OUTPUT_BYTES);
        kept.end.drain(..too_many);
        kept.dropped_bytes += too_many as u64;
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_OUTPUT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_beginning_and_the_end_and_says_what_it_left_out() {
        let mut output = Output::default();
        assert_eq!(output.text(), None);
        let mut write = |text: String| output.write(text.into()).expect("never refused");
        write("first words".to_owned());
        for _ in 0..3 {
            write("x".repeat(MAX_OUTPUT_BYTES - 10));
        }
        write("last words".to_owned());

        let text = output.text().expect("text");
        assert!(text.starts_with("first words"), "{}", &text[..20]);
        assert!(text.ends_with("last words"), "{}", &text[text.len() - 20..]);
        let note = format!(
            "\n… {} bytes are left out …\n",
            2 * MAX_OUTPUT_BYTES - 30 + 21
        );
        assert!(text.contains(&note), "no {note}");
        assert_eq!(text.len(), MAX_OUTPUT_BYTES + note.len());
    }
}
