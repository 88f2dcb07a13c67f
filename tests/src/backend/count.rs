//! What a mock backend counts.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What a backend got so far.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    ended: AtomicU64,
}

impl Counts {
    /// Connections accepted.
    pub fn connections(&self) -> u64 {
        self.connections.load(SeqCst)
    }

    /// Request heads received.
    pub fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }

    /// Requests that are being worked on.
    pub fn in_flight(&self) -> u64 {
        self.requests().saturating_sub(self.ended.load(SeqCst))
    }

    /// Requests whose connection went away before they were answered.
    pub fn aborted(&self) -> u64 {
        self.ended.load(SeqCst).saturating_sub(self.answered.load(SeqCst))
    }

    pub(super) fn connection(&self) {
        self.connections.fetch_add(1, SeqCst);
    }

    pub(super) fn request(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, SeqCst);
        InFlight(self)
    }
}

/// One request; counts its end when dropped, whether answered or not.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Counts);

impl InFlight<'_> {
    pub(super) fn answered(self) {
        self.0.answered.fetch_add(1, SeqCst);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
    }
}
