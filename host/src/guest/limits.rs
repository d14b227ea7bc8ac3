//! What a guest may use. Everything has a limit, named, with a unit and a default.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// Largest module, in bytes.
pub const MAX_MODULE_BYTES: u64 = 64 * 1024 * 1024;

/// Time that compiling one module may take.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);

/// Address space of the process that compiles, in bytes.
pub const COMPILE_MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Time for `describe`, instantiation included.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a guest writes to its standard error and output in a batch is kept up to so many bytes: of its beginning and its end.
pub const MAX_OUTPUT_BYTES: usize = 16 * 1024;

/// Log lines of a guest that are passed on in one batch.
pub const MAX_LOG_LINES: u32 = 1_000;

/// Lines that are kept of what a guest that runs once logged in one batch: the last.
pub const MAX_LAST_LINES: usize = 5;

/// Longest log message or field of a guest that is passed on, in bytes.
pub const MAX_LOG_BYTES: usize = 4 * 1024;

/// Longest retry context, in bytes.
pub const MAX_RETRY_CONTEXT_BYTES: usize = 4 * 1024;

/// Longest stack of a guest, in bytes.
pub const MAX_STACK_BYTES: usize = 1024 * 1024;

/// What one call of a guest may pass to the host, in bytes, before the call is ended.
pub const MAX_HOST_CALL_BYTES: usize = 64 * 1024 * 1024;

/// Entries of all tables of one guest.
pub const MAX_TABLE_ENTRIES: usize = 100_000;

/// Core instances of one component.
pub const MAX_CORE_INSTANCES: usize = 64;

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
    /// Calls to the host in one batch.
    pub host_calls: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handle_timeout_ms: 10_000,
            setup_timeout_ms: 60_000,
            memory_mib: 256,
            host_calls: 1_000_000,
        }
    }
}

/// Counts what all memories and tables of a store use together; wasmtime's own limits count each alone.
pub(super) struct Meter {
    max_memory_bytes: usize,
    memory_bytes: usize,
    table_entries: usize,
    /// A limit was hit: which, in words.
    pub tripped: Option<String>,
}

impl Meter {
    pub fn new(limits: &Limits) -> Meter {
        let max_memory_bytes =
            usize::try_from(limits.memory_mib.saturating_mul(1024 * 1024)).unwrap_or(usize::MAX);
        Meter {
            max_memory_bytes,
            memory_bytes: 0,
            table_entries: 0,
            tripped: None,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .memory_bytes
            .saturating_add(desired.saturating_sub(current));
        if total > self.max_memory_bytes {
            let message = format!(
                "the guest asked for {} MiB of memory, more than its limit of {} MiB (memory-mib under [limits] in the file beside the module)",
                total.div_ceil(1024 * 1024),
                self.max_memory_bytes / (1024 * 1024)
            );
            self.tripped = Some(message.clone());
            return Err(wasmtime::Error::msg(message));
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_entries
            .saturating_add(desired.saturating_sub(current));
        if total > MAX_TABLE_ENTRIES {
            let message = format!(
                "the guest asked for {total} table entries, more than the limit of {MAX_TABLE_ENTRIES}"
            );
            self.tripped = Some(message.clone());
            return Err(wasmtime::Error::msg(message));
        }
        self.table_entries = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        64
    }
}
