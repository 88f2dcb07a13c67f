//! A Pool: match rules and policy.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::plugin::param::Carrier;
use super::{Balance, GrpcStatus, Health, PluginUse, PoolProtocol, ResourceName, Rule, Tls};

/// A complete Pool: defaults and `inherit` are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// `namespace/name`.
    pub name: ResourceName,
    /// A disabled pool is passed over in its chain.
    pub enabled: bool,
    /// What its listeners and backends speak. One of TCP has no rules and no plugins, and hashes by address alone.
    pub protocol: PoolProtocol,
    /// Listeners it serves; empty = every listener of its protocol.
    pub listeners: Vec<String>,
    /// Empty = every request.
    pub rules: Vec<Rule>,
    /// Place in the chain of pools with an equal rule, lowest first.
    pub priority: i32,
    /// Share among equal priorities; 0 = only when the others cannot.
    pub weight: u32,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retry: Retry,
    /// `Retry-After` of each 503 and 504 made here; zero = none.
    pub retry_after: Duration,
    /// Idle upstream connections.
    pub keepalive: Keepalive,
    /// Health of endpoints.
    pub health: Health,
    /// What becomes of the upstream request when the client leaves.
    pub on_client_abort: ClientAbort,
    /// Whether responses name pool, backend and attempts.
    pub debug_headers: bool,
    /// Plugins, in the order in which they run.
    pub plugins: Vec<PluginUse>,
    /// Free values for plugins.
    pub config: Map<String, Value>,
    /// Requests that wait for a backend with room.
    pub queue: Queue,
    /// Where a request may name the backend that it goes to.
    pub direct: Option<Carrier>,
    /// TLS with its clients.
    pub tls: Option<Tls>,
    /// Most bytes of a request body, 0 = unlimited; `None` = what the proxy says.
    pub max_body_size: Option<u64>,
}

/// Largest weight of a Pool or Backend.
pub const MAX_WEIGHT: u32 = 65_535;

impl Pool {
    /// A pool of this name with every default and no rules.
    #[must_use]
    pub fn new(name: ResourceName) -> Self {
        Self {
            name,
            enabled: true,
            protocol: PoolProtocol::default(),
            listeners: Vec::new(),
            rules: Vec::new(),
            priority: 0,
            weight: 1,
            balance: Balance::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            retry_after: Duration::from_secs(10),
            keepalive: Keepalive::default(),
            health: Health::default(),
            on_client_abort: ClientAbort::default(),
            debug_headers: false,
            plugins: Vec::new(),
            config: Map::new(),
            queue: Queue::default(),
            direct: None,
            tls: None,
            max_body_size: None,
        }
    }
}

/// Limits in time; zero = none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the response head, and between two reads of its body.
    pub read: Duration,
    /// For the upstream to take more of the request.
    pub write: Duration,
    /// For the whole request with all its tries, until the end of the response.
    pub request: Duration,
    /// For a connection of TCP, or an upgraded one (WebSocket), on which nothing moves.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            read: Duration::from_mins(1),
            write: Duration::from_secs(10),
            request: Duration::ZERO,
            idle: Duration::from_mins(1),
        }
    }
}

/// What is tried again, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first in one pool, whatever their cause.
    pub attempts: u32,
    /// Causes.
    pub causes: Vec<RetryOn>,
    /// Response statuses that are tried again.
    pub statuses: Vec<StatusMask>,
    /// The same of gRPC, where they are in the head of a response.
    pub grpc_statuses: Vec<GrpcStatus>,
    /// Methods that may be tried again after bytes were sent, besides the idempotent ones.
    pub methods: Vec<String>,
    /// Limit for one try until its response head; zero = none.
    pub per_try: Duration,
    /// Retries allowed, in percent of the pool's requests (at least 10 per second).
    pub budget_percent: u32,
    /// Most bytes of a request body kept for a replay.
    pub buffer_limit: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            causes: vec![RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Timeout],
            statuses: Vec::new(),
            grpc_statuses: Vec::new(),
            methods: Vec::new(),
            per_try: Duration::ZERO,
            budget_percent: 20,
            buffer_limit: 64 << 10,
        }
    }
}

/// Causes of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// No connection could be made, or not in time.
    ConnectFailure,
    /// The connection broke, or the response made no sense, before its head was complete.
    Reset,
    /// No response head within `timeouts.read` or `retry.perTry`.
    Timeout,
}

impl RetryOn {
    /// Every cause with its name in a manifest.
    pub const ALL: [(Self, &str); 3] =
        [(Self::ConnectFailure, "connect-failure"), (Self::Reset, "reset"), (Self::Timeout, "timeout")];
}

/// Idle upstream connections, per endpoint and worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// Most idle connections; 0 = none are kept.
    pub max_idle: u32,
    /// How long one stays idle; zero = for ever.
    pub idle_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { max_idle: 128, idle_timeout: Duration::from_mins(1) }
    }
}

/// Requests that wait because every endpoint has as many as its capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait, at most [`MAX_QUEUE`].
    pub limit: u32,
    /// How long; zero = without a limit.
    pub timeout: Duration,
    /// Status of the answer when the time is over.
    pub expired_status: u16,
    /// Whether requests wait, too, while nobody is up.
    pub when_unavailable: bool,
}

/// Longest queue of a Pool.
pub const MAX_QUEUE: u32 = 1_000_000;

impl Default for Queue {
    fn default() -> Self {
        Self { limit: 128, timeout: Duration::from_mins(1), expired_status: 504, when_unavailable: false }
    }
}

/// What becomes of the upstream request when the client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAbort {
    /// It is cancelled.
    #[default]
    Close,
    /// It goes on to its end.
    Ignore,
}

/// A set of statuses: three characters, a digit or `x` for any digit, such as `502`, `50x`, `5xx`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusMask([u8; 3]);

impl StatusMask {
    /// Reads a mask; its first digit is 1 to 5.
    ///
    /// # Errors
    /// Says what a mask looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no status mask: write for example 502, 50x or 5xx");
        let mask: [u8; 3] = text.to_ascii_lowercase().as_bytes().try_into().map_err(|_| wrong())?;
        let legal = (b'1'..=b'5').contains(&mask[0]) && mask[1..].iter().all(|c| c.is_ascii_digit() || *c == b'x');
        if legal { Ok(Self(mask)) } else { Err(wrong()) }
    }

    /// Whether `status` is in the set.
    #[must_use]
    pub fn matches(self, status: u16) -> bool {
        let digits = [status / 100, status / 10 % 10, status % 10];
        self.0.iter().zip(digits).all(|(mask, digit)| *mask == b'x' || u16::from(mask - b'0') == digit)
    }
}

impl fmt::Display for StatusMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|c| write!(f, "{}", char::from(*c)))
    }
}

impl fmt::Debug for StatusMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_masks_match_digit_by_digit() {
        let mask = StatusMask::parse("50x").unwrap();
        assert!(mask.matches(502) && !mask.matches(512));
        assert!(StatusMask::parse("5XX").unwrap().matches(599));
        assert!(StatusMask::parse("502").unwrap().matches(502));
        for bad in ["", "5", "xxx", "6xx", "5x", "5xxx", "50y"] {
            assert!(StatusMask::parse(bad).is_err(), "{bad:?}");
        }
    }
}
