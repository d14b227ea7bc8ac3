//! How a call of a guest can end other than well, and what is told about it.

use subscription::{ErrorClass, Verdict};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi_http::FieldMapError;

use super::limits::{
    Exceeded, HOST_CALL_MIB, MAX_CORE_INSTANCES, MAX_HTTP_HEADER_BYTES, MAX_MEMORIES,
    MAX_RESOURCES, MAX_STACK_BYTES, MAX_TABLES, limit_named,
};
use super::state::State;
use super::text;
use crate::store::GuestError;

/// What wasmtime says when a call passes too much; its error has no type that could be asked for.
const HOST_CALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// What it says when a guest holds too much, for the same reason.
const FULL_TABLES: [&str; 2] = [
    "store handle limit exceeded",
    "resource table has no free keys",
];

/// Longest name of a function in a backtrace, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Lines of a guest's output that are part of the message when it panics.
const LAST_WORDS_LINES: usize = 3;

/// A call that failed. Everything a person needs to find the cause.
#[derive(Clone, Debug)]
pub struct Failure {
    pub class: ErrorClass,
    /// The chain of causes, outermost first.
    pub message: String,
    /// Leading events of the call that were dealt with completely, when the guest said so.
    pub handled: Option<u32>,
    /// What the guest wants done about the event, when it said so.
    pub verdict: Option<Verdict>,
    pub backtrace: Option<String>,
    /// What the guest wrote to its standard output and error.
    pub output: Option<String>,
    /// What the guest wants to find again at the next attempt.
    pub retry_context: Option<String>,
    /// Unavailable because the database resolved a conflict with somebody else against this batch. That passes, unless it
    /// happens every time.
    pub is_conflict: bool,
}

impl Failure {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Box<Failure> {
        Box::new(Failure {
            class,
            // As long as it is: the store keeps the beginning and the end of it.
            message: text::block(&message.into(), usize::MAX),
            handled: None,
            verdict: None,
            backtrace: None,
            output: None,
            retry_context: None,
            is_conflict: false,
        })
    }

    /// What the database refused, and in the course of what.
    pub fn of_database(what: &str, error: &GuestError) -> Box<Failure> {
        let class = if error.retryable {
            ErrorClass::Unavailable
        } else {
            ErrorClass::Sql
        };
        let code = error
            .sqlstate
            .as_ref()
            .map_or_else(String::new, |sqlstate| format!(" (SQLSTATE {sqlstate})"));
        Box::new(Failure {
            is_conflict: error.is_conflict(),
            ..*Failure::new(class, format!("{what}: {}{code}", error.message))
        })
    }

    /// What the guest wrote, and the database refused to commit.
    pub fn of_refused_commit(error: &GuestError, retry_context: Option<String>) -> Box<Failure> {
        Box::new(Failure {
            retry_context,
            ..*Failure::of_database("the commit failed", error)
        })
    }
}

/// The guest used up its time.
#[derive(Debug, thiserror::Error)]
#[error("the guest did not return within {limit_ms} ms, its limit for {call} ({})", limit_named(self.limit_name()).place())]
pub(super) struct DeadlineExceeded {
    pub call: &'static str,
    pub limit_ms: u64,
}

impl DeadlineExceeded {
    fn limit_name(&self) -> &'static str {
        match self.call {
            "describe" => "describe-timeout-ms",
            "setup" | "teardown" => "setup-timeout-ms",
            _ => "handle-timeout-ms",
        }
    }
}

/// Sorts what a trapped call left behind.
pub(super) fn from_trap(error: &wasmtime::Error, state: &State) -> Box<Failure> {
    let (class, message) = classify(error, state);
    Box::new(Failure {
        backtrace: error.downcast_ref::<WasmBacktrace>().map(readable),
        output: state.output_text(),
        retry_context: state.new_retry_context.clone(),
        ..*Failure::new(class, state.with_notes(message))
    })
}

fn classify(error: &wasmtime::Error, state: &State) -> (ErrorClass, String) {
    if let Some(exceeded) = &state.meter.tripped {
        return (exceeded.class(), exceeded.to_string());
    }
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return (exceeded.class(), exceeded.to_string());
    }
    if let Some(exceeded) = error.downcast_ref::<DeadlineExceeded>() {
        return (ErrorClass::Deadline, exceeded.to_string());
    }
    if let Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) =
        error.downcast_ref()
    {
        let did = "the guest puts more into the headers of one request";
        let exceeded = Exceeded::new("http-header-bytes", MAX_HTTP_HEADER_BYTES as u64, did);
        return (exceeded.class(), exceeded.to_string());
    }
    let root = format!("{:#}", error.root_cause());
    if root.contains(HOST_CALL_FUEL) {
        let did = "the guest handed more data to the host in one call";
        let exceeded = Exceeded::new("host-call-mib", HOST_CALL_MIB, did);
        return (exceeded.class(), exceeded.to_string());
    }
    if let Some(exceeded) = counted(&root).or_else(|| held(&root)) {
        return (exceeded.class(), exceeded.to_string());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            let did = "the guest calls itself without end, or keeps too much on its stack: it used";
            let exceeded = Exceeded::new("stack-bytes", MAX_STACK_BYTES as u64, did);
            (exceeded.class(), exceeded.to_string())
        }
        Some(Trap::UnreachableCodeReached) => {
            let said = state
                .output_text()
                .map_or_else(String::new, |text| format!(": {}", last_words(&text)));
            (
                ErrorClass::Trap,
                format!("the guest panicked or aborted{said}"),
            )
        }
        Some(trap) => (ErrorClass::Trap, format!("the guest trapped: {trap}")),
        None => (ErrorClass::Trap, root),
    }
}

/// wasmtime counts these by itself, and says so in words alone.
fn counted(root: &str) -> Option<Exceeded> {
    let counts = [
        ("instance count", "core-instances", MAX_CORE_INSTANCES),
        ("memory count", "memories", MAX_MEMORIES),
        ("table count", "tables", MAX_TABLES),
    ];
    let told = root.strip_prefix("resource limit exceeded: ")?;
    let (_, name, max) = counts
        .into_iter()
        .find(|(words, ..)| told.starts_with(words))?;
    let did = format!("the component asks for more {name}");
    Some(Exceeded::new(name, max as u64, did))
}

/// A guest that holds too many things of WASI: either wasmtime's table of its handles is full, or that of what they stand for.
fn held(root: &str) -> Option<Exceeded> {
    let is_full = FULL_TABLES.iter().any(|words| root.contains(words));
    let did = "the guest holds more streams and timers at a time";
    is_full.then(|| Exceeded::new("resources", MAX_RESOURCES as u64, did))
}

/// What a panic says, on one line: where it happened is on the first line of its text, why on the next. Whatever the
/// guest wrote before is not part of it.
fn last_words(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let panicked = lines.iter().rposition(|line| line.contains("panicked at "));
    let from = panicked.unwrap_or(lines.len().saturating_sub(LAST_WORDS_LINES));
    let advice = |line: &&&str| line.starts_with("note: ");
    let words = lines[from..].iter().take_while(|line| !advice(line));
    let words = words.take(LAST_WORDS_LINES).copied().collect::<Vec<_>>();
    words.join(" ").trim().to_owned()
}

/// One line a frame, with the names of functions and nothing of this machine.
fn readable(backtrace: &WasmBacktrace) -> String {
    let mut lines = Vec::new();
    for (depth, frame) in backtrace.frames().iter().enumerate() {
        let name = frame
            .func_name()
            .map_or_else(|| format!("function {}", frame.func_index()), wasmtime_name);
        lines.push(format!("{depth:>3}: {}", text::line(&name, MAX_NAME_BYTES)));
    }
    lines.join("\n")
}

fn wasmtime_name(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn a_panic_is_told_without_what_was_written_before_it() {
        let output = "one\ntwo\nthree\nfour\n\nthread '<unnamed>' panicked at src/lib.rs:5:9:\nfell at position 6\nnote: run with RUST_BACKTRACE=1";
        assert_eq!(
            last_words(output),
            "thread '<unnamed>' panicked at src/lib.rs:5:9: fell at position 6"
        );
        assert_eq!(last_words("one\ntwo\nthree\nfour"), "two three four");
    }
}
