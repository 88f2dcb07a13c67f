//! Readiness as a set of named guards: ready when the last is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Shared by everything that must be there before traffic should come; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

/// While it lives, the process is not ready.
#[derive(Debug)]
pub struct Blocker {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Not ready until the returned guard is dropped.
    #[must_use]
    pub fn block(&self, name: &'static str) -> Blocker {
        self.0.lock().insert(name);
        Blocker { name, readiness: self.clone() }
    }

    /// What is still missing; empty = ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.readiness.0.lock().remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_ready_when_the_last_guard_is_dropped() {
        let readiness = Readiness::default();
        let (table, resolver) = (readiness.block("first table"), readiness.block("resolver"));
        drop(resolver);
        assert_eq!(readiness.missing(), ["first table"]);
        drop(table);
        assert!(readiness.missing().is_empty());
    }
}
