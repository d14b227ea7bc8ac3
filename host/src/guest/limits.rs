//! What a guest may use. Everything has a limit with a name, a unit and a default; `host/LIMITS.md` lists them all.

mod documented;
mod exceeded;
mod meter;

use serde::{Deserialize, Serialize};

pub use documented::{LIMITS, Limit, SetBy, as_markdown, limit_named};
pub(super) use exceeded::Exceeded;
pub(super) use meter::Meter;

/// Largest module, in bytes.
pub const MAX_MODULE_BYTES: u64 = 64 * 1024 * 1024;

/// Time that compiling one module may take, in seconds.
pub const COMPILE_SECONDS: u64 = 120;

/// Address space of the process that compiles, in MiB.
pub const COMPILE_MEMORY_MIB: u64 = 4 * 1024;

/// Native code of one module, in bytes.
pub const MAX_NATIVE_BYTES: u64 = 1024 * 1024 * 1024;

/// Modules that one host compiles at the same time.
pub const MAX_COMPILERS: usize = 2;

/// Compiled modules that are kept on disk, in MiB; those that were not used for longest go first.
pub const COMPILE_CACHE_MIB: u64 = 4 * 1024;

/// Time for `describe`, and for instantiation before it, in milliseconds.
pub const DESCRIBE_TIMEOUT_MS: u64 = 5_000;

/// Time for `describe` in an instance that waits for its events, in milliseconds. Who takes longer is not made ready.
pub(super) const WARM_UP_TIMEOUT_MS: u64 = 50;

/// What a guest writes to its standard error and output in a batch is kept up to so many bytes: of its beginning and its end.
pub const MAX_OUTPUT_BYTES: usize = 16 * 1024;

/// Lines that are kept of what a guest that runs once logged in one batch: the last.
pub const MAX_LAST_LINES: usize = 5;

/// Longest log line of a guest that is passed on, its fields included, in bytes.
pub const MAX_LOG_BYTES: usize = 4 * 1024;

/// Named values of a log line.
pub const MAX_LOG_FIELDS: usize = 32;

/// Longest retry context, in bytes.
pub const MAX_RETRY_CONTEXT_BYTES: usize = 4 * 1024;

/// All texts of a descriptor together, in bytes.
pub const MAX_DESCRIPTOR_BYTES: usize = 64 * 1024;

/// Named values beside the message of a failure.
pub const MAX_FAILURE_DETAILS: usize = 32;

/// Longest stack of a guest, in bytes.
pub const MAX_STACK_BYTES: usize = 1024 * 1024;

/// What one call of a guest may pass to the host, in MiB, before the call is ended.
pub const HOST_CALL_MIB: u64 = 64;

/// Core instances of one component.
pub const MAX_CORE_INSTANCES: usize = 64;

/// Memories of one component, however small.
pub const MAX_MEMORIES: usize = 16;

/// Tables of one component, however small.
pub const MAX_TABLES: usize = 64;

/// Things of the inert WASI (streams, timers) that a guest holds at a time.
pub const MAX_RESOURCES: usize = 1_000;

/// Headers of one HTTP request or answer, and their bytes together.
pub const MAX_HTTP_HEADERS: usize = 100;
pub const MAX_HTTP_HEADER_BYTES: usize = 32 * 1024;

/// HTTP requests of all processors of one host at the same time. Those beyond wait for a place.
pub const MAX_HTTP_REQUESTS_OF_HOST: usize = 64;

/// Events that one call of the reader returns at most, and their bytes.
pub const MAX_READ_EVENTS: u32 = 10_000;
pub const MAX_READ_BYTES: usize = 16 * 1024 * 1024;

/// Limits that an operator can set for one guest, in the `[limits]` of the file beside its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Time for one call of `handle`, in milliseconds, waiting for the database included.
    pub handle_timeout_ms: u64,
    /// Time for `setup` and for `teardown`, in milliseconds.
    pub setup_timeout_ms: u64,
    /// Linear memory of the guest, all memories together, in MiB.
    pub memory_mib: u64,
    /// Entries of all tables of the guest.
    pub table_entries: u64,
    /// Calls to the host in one batch.
    pub host_calls: u64,
    /// SQL statements in one batch.
    pub statements: u64,
    /// What the guest hands to the host in one batch, in MiB.
    pub sent_mib: u64,
    /// What the host hands to the guest in one batch besides its events, in MiB.
    pub received_mib: u64,
    /// Events that a processor appends in one batch.
    pub appended_events: u64,
    /// Log lines that are passed on in one batch; what is beyond is dropped, which is said once.
    pub log_lines: u64,
    /// HTTP requests of a processor in one batch.
    pub http_requests: u64,
    /// HTTP requests of a processor at the same time.
    pub http_concurrent: u64,
    /// Body of one request, in KiB.
    pub http_request_kib: u64,
    /// Body of one answer, in KiB.
    pub http_response_kib: u64,
    /// From the beginning of a request to a connection: the name, TCP and TLS, in milliseconds.
    pub http_connect_timeout_ms: u64,
    /// From the connection to the end of the answer's headers, in milliseconds.
    pub http_first_byte_timeout_ms: u64,
    /// Between two pieces of an answer, in milliseconds.
    pub http_between_bytes_timeout_ms: u64,
    /// One request with its answer, in milliseconds. No request outlives the call of `handle` that sent it.
    pub http_request_timeout_ms: u64,
}

impl Limits {
    /// What holds where the operator says nothing.
    pub const DEFAULT: Limits = Limits {
        handle_timeout_ms: 10_000,
        setup_timeout_ms: 60_000,
        memory_mib: 256,
        table_entries: 100_000,
        host_calls: 1_000_000,
        statements: 200_000,
        sent_mib: 256,
        received_mib: 256,
        appended_events: 10_000,
        log_lines: 1_000,
        http_requests: 100,
        http_concurrent: 4,
        http_request_kib: 1_024,
        http_response_kib: 4_096,
        http_connect_timeout_ms: 3_000,
        http_first_byte_timeout_ms: 5_000,
        http_between_bytes_timeout_ms: 3_000,
        http_request_timeout_ms: 8_000,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// MiB as bytes.
pub(super) fn mib(count: u64) -> u64 {
    count.saturating_mul(1024 * 1024)
}

/// Modules that one directory may hold.
pub const MAX_MODULES: usize = 1_000;

/// Longest name of a file in the directory of modules, in bytes.
pub const MAX_FILE_NAME_BYTES: usize = 128;

/// Entries of the directory of modules, whatever they are.
pub const MAX_DIRECTORY_ENTRIES: usize = 10_000;

/// Modules that one host keeps ready; those that were not used for longest are loaded again when they are needed.
pub const MAX_READY_MODULES: usize = 1_000;
