//! Readiness as a set of named guards: ready when the last is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Shared by everything that must be there before traffic should come; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    missing: Mutex<BTreeSet<&'static str>>,
    changed: Notify,
}

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
        self.0.missing.lock().insert(name);
        Blocker { name, readiness: self.clone() }
    }

    /// What is still missing; empty = ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.missing.lock().iter().copied().collect()
    }

    /// Waits until nothing is missing.
    pub async fn ready(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.missing().is_empty() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.readiness.0.missing.lock().remove(self.name);
        self.readiness.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s3_who_waits_goes_on_when_the_last_guard_is_dropped() {
        let readiness = Readiness::default();
        let (table, resolver) = (readiness.block("first table"), readiness.block("resolver"));
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        drop(table);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(resolver);
        waiting.await.unwrap();
    }

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
