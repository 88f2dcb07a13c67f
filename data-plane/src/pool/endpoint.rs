//! One address that requests can go to, and everything that is counted about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use jiff::Timestamp;
use parking_lot::Mutex;
use weir_proto::model::{EndpointAddress, ResourceName};

use crate::balance::ewma::PeakEwma;
use crate::health::outlier::Outlier;
use crate::reason::Reason;
use crate::stats::{Counter, Gauge, Sharded};

/// Identifies an endpoint for as long as the process lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl EndpointId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// Run-time state of one address of one Backend. Weight, labels and the like are configuration and
/// live in [`super::Candidate`]; this survives their changes.
#[derive(Debug)]
pub struct Endpoint {
    /// Names it in a worker's idle connections and among the tried ones of a request.
    pub id: EndpointId,
    /// The Backend it comes from.
    pub backend: ResourceName,
    /// Where it listens.
    pub address: EndpointAddress,
    /// Value of `x-weir-backend`.
    pub label: HeaderValue,
    /// Seed of the endpoint's place in consistent hashing: equal on every proxy.
    pub hash_seed: u64,
    /// Requests in flight, over all workers.
    pub in_flight: Gauge,
    /// Failures by reason, over all workers; failures are rare enough to share.
    pub fails: [AtomicU64; Reason::ALL.len()],
    /// Transitions to up and to down.
    pub transitions: Transitions,
    /// Peak-sensitive latency, kept only if the pool's method is `PeakEwma`.
    pub latency: PeakEwma,
    /// Counters of each worker.
    pub shards: Sharded<EndpointShard>,
    /// Passive health; touched by failures only.
    pub outlier: Mutex<Outlier>,
    /// Set when the endpoint left its pool: workers drop its idle connections.
    retired: AtomicBool,
    /// Wall-clock time of the last change of state, in Unix milliseconds; for people only.
    since_ms: AtomicI64,
}

/// What one worker counts about one endpoint.
#[derive(Debug, Default)]
pub struct EndpointShard {
    /// Responses by class, 1xx to 5xx.
    pub responses: [Counter; 5],
    /// Requests begun.
    pub requests: Counter,
    /// Connections opened.
    pub connects: Counter,
    /// Connections closed.
    pub closes: Counter,
    /// Bytes of connections of TCP that went to it.
    pub bytes_upstream: Counter,
    /// Those that came from it and went to clients.
    pub bytes_downstream: Counter,
}

/// How often an endpoint came up and went down.
#[derive(Debug, Default)]
pub struct Transitions {
    /// Times it came up.
    pub up: AtomicU64,
    /// Times it went down.
    pub down: AtomicU64,
}

impl Endpoint {
    /// A new endpoint, up, with every counter at zero.
    #[must_use]
    pub fn new(backend: ResourceName, address: EndpointAddress, workers: usize) -> Self {
        let label = HeaderValue::try_from(backend.name()).unwrap_or_else(|_| HeaderValue::from_static("?"));
        Self {
            id: EndpointId::next(),
            hash_seed: crate::balance::hash::seed(&backend, &address),
            label,
            backend,
            address,
            in_flight: Gauge::default(),
            fails: Default::default(),
            transitions: Transitions::default(),
            latency: PeakEwma::default(),
            shards: Sharded::new(workers),
            outlier: Mutex::new(Outlier::default()),
            retired: AtomicBool::new(false),
            since_ms: AtomicI64::new(Timestamp::now().as_millisecond()),
        }
    }

    /// Says that the endpoint left its pool, or came back.
    pub fn set_retired(&self, retired: bool) {
        if self.retired.swap(retired, Relaxed) != retired {
            self.changed_state();
        }
    }

    /// Whether the endpoint left its pool.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Notes that the endpoint's state is another one from now on.
    pub fn changed_state(&self) {
        self.since_ms.store(Timestamp::now().as_millisecond(), Relaxed);
    }

    /// When its state last changed.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        Timestamp::from_millisecond(self.since_ms.load(Relaxed)).unwrap_or_default()
    }

    /// Connections open to it, over all workers.
    #[must_use]
    pub fn connections(&self) -> u64 {
        // Read closes first: a connection that opens and closes in between must not make it negative.
        let closed = self.shards.sum(|s| s.closes.get());
        self.shards.sum(|s| s.connects.get()).saturating_sub(closed)
    }

    /// Requests ever sent to it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shards.sum(|s| s.requests.get())
    }
}

/// A request on its way to an endpoint; ends when dropped, which covers cancelled requests too.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// Counts a request of `worker` to `endpoint`.
    #[must_use]
    pub fn start(endpoint: Arc<Endpoint>, worker: usize) -> Self {
        endpoint.in_flight.enter();
        endpoint.shards.of(worker).requests.increment();
        Self { endpoint }
    }

    /// Where the request goes.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.leave();
    }
}
