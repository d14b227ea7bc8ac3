//! The one table of all limits: what is documented, and what a refusal names, cannot drift from what holds.

use super::Limits;
use crate::guest::settings::MAX_SETTINGS_BYTES;
use crate::store;

/// One limit: what it is called, how it is counted, and where an operator sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    /// What holds where nobody set it.
    pub default: u64,
    pub unit: &'static str,
    pub set_by: SetBy,
    /// What it limits.
    pub about: &'static str,
}

/// Where an operator sets a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// Under `[limits]` in `NAME.toml`, for one guest.
    File,
    Fixed,
}

impl Limit {
    /// Where it is set, in words.
    pub fn place(&self) -> String {
        match self.set_by {
            SetBy::File => format!("{} under [limits] in the file beside the module", self.name),
            SetBy::Fixed => format!("{}, which is fixed", self.name),
        }
    }
}

/// The limit of that name.
///
/// # Panics
/// There is none of that name; names are constants of this program.
pub fn limit_named(name: &str) -> Limit {
    *LIMITS
        .iter()
        .find(|limit| limit.name == name)
        .unwrap_or_else(|| panic!("{name} is not in the table of limits"))
}

const DEFAULTS: Limits = Limits::DEFAULT;

/// Every limit.
pub const LIMITS: &[Limit] = &[
    set(
        "handle-timeout-ms",
        DEFAULTS.handle_timeout_ms,
        "ms",
        "one call of `handle` or `on-failure`, and the instantiation before it, waiting for the database included; at most 50,000",
    ),
    set(
        "setup-timeout-ms",
        DEFAULTS.setup_timeout_ms,
        "ms",
        "one call of `setup` or `teardown`; at most 600,000",
    ),
    set(
        "memory-mib",
        DEFAULTS.memory_mib,
        "MiB",
        "linear memory of a guest, all of its memories together",
    ),
    set(
        "table-entries",
        DEFAULTS.table_entries,
        "entries",
        "all WebAssembly tables of a guest together",
    ),
    set(
        "host-calls",
        DEFAULTS.host_calls,
        "calls",
        "calls to the host in one batch",
    ),
    set(
        "statements",
        DEFAULTS.statements,
        "statements",
        "SQL statements in one batch; each list of `execute-many` counts",
    ),
    set(
        "sent-mib",
        DEFAULTS.sent_mib,
        "MiB",
        "rows, parameters and events that a guest hands to the host in one batch",
    ),
    set(
        "received-mib",
        DEFAULTS.received_mib,
        "MiB",
        "rows and earlier events that a guest reads in one batch",
    ),
    set(
        "appended-events",
        DEFAULTS.appended_events,
        "events",
        "events that a processor appends in one batch",
    ),
    set(
        "log-lines",
        DEFAULTS.log_lines,
        "lines",
        "log lines in one batch; what is beyond is dropped, and that is said",
    ),
    set(
        "http-requests",
        DEFAULTS.http_requests,
        "requests",
        "HTTP requests of a processor in one batch",
    ),
    set(
        "http-concurrent",
        DEFAULTS.http_concurrent,
        "requests",
        "HTTP requests of a processor at the same time; at most 1,000",
    ),
    set(
        "http-request-kib",
        DEFAULTS.http_request_kib,
        "KiB",
        "body of one HTTP request",
    ),
    set(
        "http-response-kib",
        DEFAULTS.http_response_kib,
        "KiB",
        "body of the answer to one HTTP request",
    ),
    set(
        "http-connect-timeout-ms",
        DEFAULTS.http_connect_timeout_ms,
        "ms",
        "connecting for one HTTP request: resolving the name, TCP and TLS",
    ),
    set(
        "http-first-byte-timeout-ms",
        DEFAULTS.http_first_byte_timeout_ms,
        "ms",
        "from the connection until the headers of the answer are there",
    ),
    set(
        "http-between-bytes-timeout-ms",
        DEFAULTS.http_between_bytes_timeout_ms,
        "ms",
        "between two pieces of an answer's body",
    ),
    set(
        "http-request-timeout-ms",
        DEFAULTS.http_request_timeout_ms,
        "ms",
        "one HTTP request with its whole answer; it ends with the call of `handle` in any case",
    ),
    fixed(
        "http-headers",
        super::MAX_HTTP_HEADERS as u64,
        "headers",
        "headers of one HTTP request or answer",
    ),
    fixed(
        "http-header-bytes",
        super::MAX_HTTP_HEADER_BYTES as u64,
        "bytes",
        "all headers of one HTTP request or answer together",
    ),
    fixed(
        "http-host-concurrent",
        super::MAX_HTTP_REQUESTS_OF_HOST as u64,
        "requests",
        "HTTP requests of all processors of a host at the same time; those beyond wait",
    ),
    fixed(
        "host-call-mib",
        super::HOST_CALL_MIB,
        "MiB",
        "what one call of a guest hands to the host",
    ),
    fixed(
        "stack-bytes",
        super::MAX_STACK_BYTES as u64,
        "bytes",
        "stack of a guest",
    ),
    fixed(
        "core-instances",
        super::MAX_CORE_INSTANCES as u64,
        "instances",
        "core instances of one component",
    ),
    fixed(
        "memories",
        super::MAX_MEMORIES as u64,
        "memories",
        "memories of one component, however small",
    ),
    fixed(
        "tables",
        super::MAX_TABLES as u64,
        "tables",
        "tables of one component, however small",
    ),
    fixed(
        "resources",
        super::MAX_RESOURCES as u64,
        "resources",
        "streams, timers, requests and answers of WASI that a guest holds at a time",
    ),
    fixed(
        "query-rows",
        store::MAX_QUERY_ROWS as u64,
        "rows",
        "rows of one answer",
    ),
    fixed(
        "query-bytes",
        store::MAX_QUERY_BYTES as u64,
        "bytes",
        "bytes of one answer",
    ),
    fixed(
        "statement-bytes",
        store::MAX_STATEMENT_BYTES as u64,
        "bytes",
        "text of one SQL statement",
    ),
    fixed(
        "read-events",
        super::MAX_READ_EVENTS as u64,
        "events",
        "events of one answer of the reader",
    ),
    fixed(
        "read-bytes",
        super::MAX_READ_BYTES as u64,
        "bytes",
        "bytes of one answer of the reader",
    ),
    fixed(
        "log-line-bytes",
        super::MAX_LOG_BYTES as u64,
        "bytes",
        "one log line with its fields; the rest is cut",
    ),
    fixed(
        "output-bytes",
        super::MAX_OUTPUT_BYTES as u64,
        "bytes",
        "standard output and error of one batch; the rest is dropped",
    ),
    fixed(
        "message-bytes",
        store::MAX_ERROR_MESSAGE_BYTES as u64,
        "bytes",
        "message of a failure; beginning and end are kept",
    ),
    fixed(
        "retry-context-bytes",
        super::MAX_RETRY_CONTEXT_BYTES as u64,
        "bytes",
        "what survives between attempts",
    ),
    fixed(
        "descriptor-bytes",
        super::MAX_DESCRIPTOR_BYTES as u64,
        "bytes",
        "all texts of a descriptor together",
    ),
    fixed(
        "describe-timeout-ms",
        super::DESCRIBE_TIMEOUT_MS,
        "ms",
        "`describe`, and the instantiation before it",
    ),
    fixed(
        "module-bytes",
        super::MAX_MODULE_BYTES,
        "bytes",
        "a module's file",
    ),
    fixed(
        "settings-bytes",
        MAX_SETTINGS_BYTES,
        "bytes",
        "the file beside a module",
    ),
    fixed(
        "compile-seconds",
        super::COMPILE_SECONDS,
        "s",
        "compiling one module",
    ),
    fixed(
        "compile-memory-mib",
        super::COMPILE_MEMORY_MIB,
        "MiB",
        "address space of the process that compiles one module",
    ),
    fixed(
        "native-bytes",
        super::MAX_NATIVE_BYTES,
        "bytes",
        "native code of one module",
    ),
    fixed(
        "compilers",
        super::MAX_COMPILERS as u64,
        "processes",
        "modules that a host compiles at the same time",
    ),
    fixed(
        "compile-cache-mib",
        super::COMPILE_CACHE_MIB,
        "MiB",
        "native code kept on disk; what was not used for longest goes",
    ),
    fixed(
        "ready-modules",
        super::MAX_READY_MODULES as u64,
        "modules",
        "modules that a host keeps ready; what was not used for longest is loaded again",
    ),
    fixed(
        "modules",
        super::MAX_MODULES as u64,
        "modules",
        "modules of one directory",
    ),
    fixed(
        "directory-entries",
        super::MAX_DIRECTORY_ENTRIES as u64,
        "entries",
        "entries of the directory, whatever they are",
    ),
    fixed(
        "file-name-bytes",
        super::MAX_FILE_NAME_BYTES as u64,
        "bytes",
        "name of a module's file",
    ),
];

const fn set(name: &'static str, default: u64, unit: &'static str, about: &'static str) -> Limit {
    Limit {
        name,
        default,
        unit,
        set_by: SetBy::File,
        about,
    }
}

const fn fixed(name: &'static str, default: u64, unit: &'static str, about: &'static str) -> Limit {
    Limit {
        name,
        default,
        unit,
        set_by: SetBy::Fixed,
        about,
    }
}

/// The table as it stands in `host/LIMITS.md`.
pub fn as_markdown() -> String {
    let mut text = String::from(
        "| limit | default | unit | set in | what it limits |\n|---|--:|---|---|---|\n",
    );
    for limit in LIMITS {
        let place = match limit.set_by {
            SetBy::File => "`[limits]`",
            SetBy::Fixed => "fixed",
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {place} | {} |\n",
            limit.name,
            grouped(limit.default),
            limit.unit,
            limit.about
        ));
    }
    text
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_option_is_in_the_table() {
        let options = serde_json::to_value(Limits::default()).expect("JSON");
        let options: BTreeSet<&str> = options
            .as_object()
            .expect("a table")
            .keys()
            .map(String::as_str)
            .collect();
        let told: BTreeSet<&str> = LIMITS
            .iter()
            .filter(|limit| limit.set_by == SetBy::File)
            .map(|limit| limit.name)
            .collect();
        assert_eq!(told, options);
        let names: BTreeSet<&str> = LIMITS.iter().map(|limit| limit.name).collect();
        assert_eq!(names.len(), LIMITS.len(), "each name once");
    }

    #[test]
    fn the_documentation_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/LIMITS.md");
        let text = std::fs::read_to_string(path).expect("host/LIMITS.md");
        let begin = text.find("| limit |").expect("the table begins");
        let end = text[begin..]
            .find("\n\n")
            .map_or(text.len(), |end| begin + end + 1);
        if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
            let updated = format!("{}{}{}", &text[..begin], as_markdown(), &text[end..]);
            std::fs::write(path, updated).expect("written");
            return;
        }
        assert_eq!(
            &text[begin..end],
            as_markdown(),
            "run this test with INSTA_UPDATE=always to bring host/LIMITS.md up to date"
        );
    }
}
