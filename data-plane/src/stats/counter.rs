//! Atomic counters.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counts up. One thread writes, any may read: an add is a plain load and store, without the locked
/// instruction that a shared counter needs.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one; only the owning worker may call this.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`; only the owning worker may call this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down, shared by all workers, and knows its highest value.
#[derive(Debug, Default)]
pub struct Gauge {
    current: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// One more.
    pub fn enter(&self) {
        let now = self.current.fetch_add(1, Relaxed) + 1;
        // A plain load first: the maximum is read often and rises seldom.
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
    }

    /// One less.
    pub fn leave(&self) {
        self.current.fetch_sub(1, Relaxed);
    }

    /// How many now.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// The most there ever were.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }
}
