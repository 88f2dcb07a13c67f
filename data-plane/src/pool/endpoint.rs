//! One address that requests can go to, and everything that is counted about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use http::HeaderValue;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use weir_proto::model::{EndpointAddress, ResourceName};

use super::Origin;
use super::admission::{Gate, Held, Slots};
use crate::balance::ewma::PeakEwma;
use crate::health::Health;
use crate::reason::Reason;
use crate::stats::{Counter, Sharded};
use crate::upstream::Speaks;
use crate::upstream::tls::Terms;

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
    /// Requests in flight, over all workers, and how many may be.
    pub in_flight: Arc<Slots>,
    /// The queue of its pool.
    gate: Arc<Gate<EndpointId>>,
    /// Failures by reason, over all workers; failures are rare enough to share.
    pub fails: [AtomicU64; Reason::ALL.len()],
    /// Transitions to up and to down.
    pub transitions: Transitions,
    /// Peak-sensitive latency, kept only if the pool's method is `PeakEwma`.
    pub latency: PeakEwma,
    /// Counters of each worker.
    pub shards: Sharded<EndpointShard>,
    /// Passive health; touched by failures only.
    pub health: Mutex<Health>,
    /// When it came into a pool that had others, or last came up.
    pub came_up: Mutex<Option<Instant>>,
    /// What it speaks.
    pub speaks: Speaks,
    /// What TLS with it goes by, if it speaks that.
    tls: Option<ArcSwap<Terms>>,
    /// Set when the endpoint left its pool: workers drop its idle connections.
    retired: AtomicBool,
    /// Whether it is up as far as anybody was told.
    told_up: AtomicBool,
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
    pub fn new(backend: ResourceName, address: EndpointAddress, workers: usize, gate: Arc<Gate<EndpointId>>) -> Self {
        let label = HeaderValue::try_from(backend.name()).unwrap_or_else(|_| HeaderValue::from_static("?"));
        Self {
            id: EndpointId::next(),
            hash_seed: crate::balance::hash::seed(&backend, &address),
            label,
            backend,
            address,
            in_flight: Arc::default(),
            gate,
            fails: Default::default(),
            transitions: Transitions::default(),
            latency: PeakEwma::default(),
            shards: Sharded::new(workers),
            health: Mutex::new(Health::default()),
            came_up: Mutex::new(None),
            speaks: Speaks::Http1,
            tls: None,
            retired: AtomicBool::new(false),
            told_up: AtomicBool::new(true),
            since_ms: AtomicI64::new(Timestamp::now().as_millisecond()),
        }
    }

    /// The same as one that speaks what its origin says, for as long as it is there.
    #[must_use]
    pub fn speaking(self, origin: &Origin) -> Self {
        let tls = origin.tls.clone().map(ArcSwap::new);
        Self { speaks: Speaks::of(&origin.backend.protocol, &self.address), tls, ..self }
    }

    /// Takes another version of its origin, which speaks the same.
    pub fn configure(&self, origin: &Origin) {
        if let Some(application) = self.speaks.fastcgi() {
            application.configure(&origin.backend.protocol);
        }
        if let (Some(before), Some(terms)) = (&self.tls, &origin.tls) {
            before.store(terms.clone());
        }
    }

    /// What new connections to it go by, if they are within TLS.
    #[must_use]
    pub fn terms(&self) -> Option<Arc<Terms>> {
        self.tls.as_ref().map(ArcSwap::load_full)
    }

    /// Whether they go by these.
    #[must_use]
    pub fn goes_by(&self, terms: &Arc<Terms>) -> bool {
        self.tls.as_ref().is_some_and(|own| Arc::ptr_eq(&own.load(), terms))
    }

    /// Whether an idle connection to it is to be closed, as it may be in the way of a request. One that is told so must
    /// be closed.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.speaks.fastcgi().is_some_and(|application| application.backlog.takes_one())
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

    /// Whether health lets requests go to it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health.lock().is_up()
    }

    /// Notes what will be told of it, or is known without a word; true if it was the other before.
    pub fn turns(&self, up: bool) -> bool {
        self.told_up.swap(up, Relaxed) != up
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

/// A request on its way to an endpoint, with a slot of it; ends when dropped, which covers cancelled requests too.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// Counts a request of `worker` to `endpoint`, whatever its capacity.
    #[must_use]
    pub fn start(endpoint: Arc<Endpoint>, worker: usize) -> Self {
        endpoint.in_flight.enter();
        Self::counted(endpoint, worker)
    }

    /// The same, if there is a slot that nobody waits for.
    #[must_use]
    pub fn try_start(endpoint: &Arc<Endpoint>, worker: usize) -> Option<Self> {
        endpoint.gate.try_take(&endpoint.in_flight).then(|| Self::counted(endpoint.clone(), worker))
    }

    /// The same, with a slot of it that was waited for.
    #[must_use]
    pub fn with(slot: Held<EndpointId>, endpoint: Arc<Endpoint>, worker: usize) -> Self {
        slot.keep();
        Self::counted(endpoint, worker)
    }

    fn counted(endpoint: Arc<Endpoint>, worker: usize) -> Self {
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
        self.endpoint.gate.release(&self.endpoint.in_flight);
    }
}
