//! Counts what all memories and tables of a store use together; wasmtime's own limits count each alone.

use wasmtime::ResourceLimiter;

use super::{Exceeded, Limits, MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES, mib};

/// Bytes of its stack that a call of a guest uses as a rule.
const STACK_BYTES_TOUCHED: usize = 24 * 1024;

pub(crate) struct Meter {
    max_memory_bytes: u64,
    max_table_entries: u64,
    memory_bytes: u64,
    table_entries: u64,
    /// The limit that was hit, since what wasmtime makes of the refusal may not name it.
    pub tripped: Option<Exceeded>,
}

impl Meter {
    pub fn new(limits: &Limits) -> Meter {
        Meter {
            max_memory_bytes: mib(limits.memory_mib),
            max_table_entries: limits.table_entries,
            memory_bytes: 0,
            table_entries: 0,
            tripped: None,
        }
    }

    fn trip(&mut self, exceeded: Exceeded) -> wasmtime::Error {
        self.tripped.get_or_insert(exceeded).clone().into()
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if self.memory_bytes == 0 {
            touch_stack();
        }
        let total = grown(self.memory_bytes, current, desired);
        if total > self.max_memory_bytes {
            let exceeded = Exceeded::new(
                "memory-mib",
                self.max_memory_bytes / mib(1),
                format!(
                    "the guest asked for {} MiB of memory",
                    total.div_ceil(mib(1))
                ),
            );
            return Err(self.trip(exceeded));
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
        let total = grown(self.table_entries, current, desired);
        if total > self.max_table_entries {
            let exceeded = Exceeded::new(
                "table-entries",
                self.max_table_entries,
                format!("the guest asked for {total} table entries"),
            );
            return Err(self.trip(exceeded));
        }
        self.table_entries = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

/// The first memory is made on the stack that all calls of the guest run on. The pages that they need are there from then on, and no event
/// waits until the system has made each of them.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box(&mut [0_u8; STACK_BYTES_TOUCHED]);
}

fn grown(total: u64, current: usize, desired: usize) -> u64 {
    let more = desired.saturating_sub(current);
    total.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn all_memories_count_together() {
        let mut meter = Meter::new(&Limits {
            memory_mib: 3,
            ..Limits::default()
        });
        assert!(meter.memory_growing(0, MIB, None).is_ok());
        assert!(meter.memory_growing(0, 2 * MIB, None).is_ok());
        assert!(meter.memory_growing(MIB, MIB + 1, None).is_err());
        let tripped = meter.tripped.expect("it is told");
        assert_eq!(tripped.name, "memory-mib");
        assert!(
            tripped
                .to_string()
                .starts_with("the guest asked for 4 MiB of memory")
        );
    }

    #[test]
    fn all_tables_count_together() {
        let mut meter = Meter::new(&Limits {
            table_entries: 10,
            ..Limits::default()
        });
        assert!(meter.table_growing(0, 6, None).is_ok());
        assert!(meter.table_growing(0, 4, None).is_ok());
        assert!(meter.table_growing(4, 5, None).is_err());
    }
}
