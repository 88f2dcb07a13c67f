//! How much memory an instance may take.

use wasmtime::ResourceLimiter;

use crate::plugin::{Cause, Failure};

/// Size of an element of a table.
const ELEMENT: usize = size_of::<usize>();

/// What an instance has, and may have: its memories and tables together.
#[derive(Debug)]
pub(super) struct Memory {
    used: usize,
    limit: usize,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Self { used: 0, limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// A plugin that needs more is not asked whether it can do with less: it fails, and its failure has a cause.
    fn grow(&mut self, current: usize, desired: usize) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            let text = format!("it asked for {used} bytes of memory, its limit is {}", self.limit);
            return Err(Failure::new(Cause::Memory, text).into());
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current.saturating_mul(ELEMENT), desired.saturating_mul(ELEMENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_memories_and_tables_have_one_limit_together() {
        let mut memory = Memory::new(1_000);
        assert!(memory.memory_growing(0, 600, None).unwrap());
        assert!(memory.table_growing(0, 300 / ELEMENT, None).unwrap());
        assert!(memory.memory_growing(600, 700, None).unwrap());
        let error = memory.memory_growing(700, 800, None).unwrap_err();
        assert_eq!(error.downcast::<Failure>().unwrap().cause, Cause::Memory);
        assert!(memory.table_growing(0, usize::MAX, None).is_err());
    }
}
