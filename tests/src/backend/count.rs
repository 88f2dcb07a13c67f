//! What a mock backend counts.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What a backend got so far.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    ended: AtomicU64,
    most: AtomicU64,
    handshakes: AtomicU64,
    resumed: AtomicU64,
    open: AtomicU64,
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

    /// The most requests that ever were worked on at once.
    pub fn most(&self) -> u64 {
        self.most.load(SeqCst)
    }

    /// Requests whose connection went away before they were answered.
    pub fn aborted(&self) -> u64 {
        self.ended.load(SeqCst).saturating_sub(self.answered.load(SeqCst))
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.open.load(SeqCst)
    }

    /// Counts a connection as open until it is dropped.
    pub(super) fn open_connection(&self) -> Open<'_> {
        self.open.fetch_add(1, SeqCst);
        Open(self)
    }

    /// Handshakes of TLS that came to their end.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(SeqCst)
    }

    /// Those among them whose session began on another connection.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(SeqCst)
    }

    pub(super) fn handshake(&self, is_resumed: bool) {
        self.handshakes.fetch_add(1, SeqCst);
        self.resumed.fetch_add(is_resumed.into(), SeqCst);
    }

    pub(super) fn connection(&self) {
        self.connections.fetch_add(1, SeqCst);
    }

    pub(super) fn request(&self) -> InFlight<'_> {
        let number = self.requests.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(number.saturating_sub(self.ended.load(SeqCst)), SeqCst);
        InFlight { counts: self, number }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open<'a>(&'a Counts);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// One request; counts its end when dropped, whether answered or not.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    counts: &'a Counts,
    number: u64,
}

impl InFlight<'_> {
    /// How many came before, and this one.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn answered(self) {
        self.counts.answered.fetch_add(1, SeqCst);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.counts.ended.fetch_add(1, SeqCst);
    }
}
