//! What a Backend counted, those of its endpoints included that are gone: a counter must not go down
//! because a DNS name dropped an address.

use std::sync::atomic::Ordering::Relaxed;

use super::Endpoint;
use crate::reason::Reason;

/// Counts that only go up.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Responses by class, 1xx to 5xx.
    pub responses: [u64; 5],
    /// Connections opened.
    pub connects: u64,
    /// Bytes of connections of TCP that went to the Backend.
    pub bytes_upstream: u64,
    /// Those that came from it and went to clients.
    pub bytes_downstream: u64,
    /// Failures by reason.
    pub fails: [u64; Reason::ALL.len()],
    /// Times an endpoint came up.
    pub up: u64,
    /// Times one went down.
    pub down: u64,
}

impl Totals {
    /// Adds what `endpoint` counted.
    pub fn add(&mut self, endpoint: &Endpoint) {
        for shard in endpoint.shards.iter() {
            self.responses.iter_mut().zip(&shard.responses).for_each(|(sum, n)| *sum += n.get());
            self.connects += shard.connects.get();
            self.bytes_upstream += shard.bytes_upstream.get();
            self.bytes_downstream += shard.bytes_downstream.get();
        }
        self.fails.iter_mut().zip(&endpoint.fails).for_each(|(sum, n)| *sum += n.load(Relaxed));
        self.up += endpoint.transitions.up.load(Relaxed);
        self.down += endpoint.transitions.down.load(Relaxed);
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.responses.iter_mut().zip(other.responses).for_each(|(sum, n)| *sum += n);
        self.connects += other.connects;
        self.bytes_upstream += other.bytes_upstream;
        self.bytes_downstream += other.bytes_downstream;
        self.fails.iter_mut().zip(other.fails).for_each(|(sum, n)| *sum += n);
        self.up += other.up;
        self.down += other.down;
        self
    }
}
