//! Health settings.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::{GrpcStatus, StatusMask};

/// How a pool judges its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures seen in traffic.
    pub passive: PassiveHealth,
    /// Below this percentage (0-100) of endpoints up, balance over all of them; 0 = never.
    pub panic_threshold: u8,
    /// Time in which the share of an endpoint that is new or came up grows to its full size; zero = at once.
    pub slow_start: Duration,
    /// Probes, if there are any. It is then they that bring an endpoint back, and not `passive.fail_timeout`.
    pub active: Option<ActiveHealth>,
    /// An endpoint that went down stays out until someone enables it again.
    pub sticky_offline: bool,
}

/// How endpoints are probed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActiveHealth {
    /// What is asked.
    pub probe: Probe,
    /// When.
    pub mode: HealthMode,
    /// From one probe to the next, at least [`SHORTEST_INTERVAL`].
    pub interval: Duration,
    /// Of one probe, at most the interval.
    pub timeout: Duration,
    /// Passes in a row that bring an endpoint back, at least 1.
    pub healthy_threshold: u32,
    /// Failures in a row that take it out, at least 1.
    pub unhealthy_threshold: u32,
}

/// More often than this is load, and no probe.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    /// One request over HTTP/1.1.
    Http(HttpProbe),
    /// A connection is enough.
    Tcp,
    /// `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
    Grpc(GrpcProbe),
    /// One request over FastCGI; its path is that of the script.
    FastCgi(HttpProbe),
}

/// One request, and the answers that pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Value of `host`; `None` = the address of the Backend.
    pub host: Option<HeaderValue>,
    /// Besides `host` and `user-agent`, which may be among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The statuses that pass.
    pub statuses: Vec<StatusMask>,
}

/// The question of the gRPC health protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    /// Empty = the server as a whole.
    pub service: String,
    /// The `:authority`; `None` = the address of the Backend.
    pub host: Option<HeaderValue>,
}

/// When an endpoint is probed, and what it is before the first probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HealthMode {
    /// Always; one that is not known gets no traffic.
    #[default]
    Paranoid,
    /// Starts up; while it is down, or had no request for an interval.
    Opportunistic,
    /// Starts up; while it is down.
    Lazy,
}

impl HealthMode {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paranoid => "Paranoid",
            Self::Opportunistic => "Opportunistic",
            Self::Lazy => "Lazy",
        }
    }
}

/// When failures seen in traffic take an endpoint out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures that eject; 0 = never.
    pub max_fails: u32,
    /// Longest time between two failures that add up, and the time an endpoint stays out.
    pub fail_timeout: Duration,
    /// Response statuses that count as failures.
    pub statuses: Vec<StatusMask>,
    /// The same of gRPC, where they are in the head of a response.
    pub grpc_statuses: Vec<GrpcStatus>,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        let (statuses, grpc_statuses) = (Vec::new(), Vec::new());
        Self { max_fails: 3, fail_timeout: Duration::from_mins(1), statuses, grpc_statuses }
    }
}
