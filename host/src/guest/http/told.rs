//! What the host says about requests that it refused or gave up. The guest learns a code; the operator, who can do
//! something about it, learns the reason, the limit and its option.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime_wasi_http::Error;

use crate::guest::limits::Exceeded;
use crate::guest::text;

/// Reasons that are kept of one batch; how many more there were is counted.
const MAX_NOTES: usize = 3;

/// Longest reason, in bytes.
const MAX_NOTE_BYTES: usize = 512;

/// The reasons of one batch. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::guest) struct Notes(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    first: Vec<String>,
    more: u64,
}

impl Notes {
    fn add(&self, note: &str) {
        let mut kept = self.kept();
        if kept.first.len() < MAX_NOTES {
            kept.first.push(text::line(note, MAX_NOTE_BYTES));
        } else {
            kept.more += 1;
        }
    }

    /// All of it, a line each; `None` when there is nothing to say.
    pub fn text(&self) -> Option<String> {
        let kept = self.kept();
        let mut lines = kept.first.clone();
        if kept.more > 0 {
            lines.push(format!(
                "and {} more requests were refused or given up",
                kept.more
            ));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, for whoever has to say what became of it. Method and origin, never a path: it is the guest's data.
#[derive(Clone)]
pub(super) struct Told {
    shown: Arc<str>,
    notes: Notes,
}

impl Told {
    pub fn new(shown: String, notes: &Notes) -> Told {
        Told {
            shown: shown.into(),
            notes: notes.clone(),
        }
    }

    /// Notes why, and gives back what the guest is to know.
    pub fn refuse(&self, error: Error, why: impl Display) -> Error {
        self.notes.add(&format!("{} {why}", self.shown));
        error
    }

    /// The same for a limit: `did` goes on with "more than its limit".
    pub fn exceed(&self, error: Error, limit: &'static str, value: u64, did: &str) -> Error {
        let did = format!("{} {did}", self.shown);
        self.notes
            .add(&Exceeded::new(limit, value, did).to_string());
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_the_first_reasons_and_counts_the_rest() {
        let notes = Notes::default();
        assert_eq!(notes.text(), None);
        let told = Told::new("GET http://a.example".to_owned(), &notes);
        told.exceed(
            Error::ConnectionLimitReached,
            "http-concurrent",
            4,
            "is one request at the same time",
        );
        for _ in 0..5 {
            told.refuse(Error::HttpRequestDenied, "is\nrefused");
        }
        let text = notes.text().expect("something");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(
            lines[0],
            "GET http://a.example is one request at the same time, more than its limit of 4 requests (http-concurrent under [limits] in the file beside the module)"
        );
        assert_eq!(lines[3], "and 3 more requests were refused or given up");
    }
}
