//! What proxies tell of themselves, as far as it is shown here.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What one or several proxies tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) overview: Overview,
    pub(super) pools: Vec<Pool>,
    /// Proxies that could not be asked, and why.
    pub(super) failed: Vec<String>,
}

/// `/api/v1/overview`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    pub(super) node: String,
    /// By the clock of the proxy.
    pub(super) now: jiff::Timestamp,
    pub(super) missing: Vec<String>,
    pub(super) pools: Share,
    pub(super) endpoints: Share,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) pace: Pace,
}

/// How many of how many are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Share {
    pub(super) total: usize,
    pub(super) up: usize,
}

/// The last ten seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pace {
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) latency: Option<Latency>,
}

/// In seconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// `/api/v1/pools`.
#[derive(Debug, Deserialize)]
pub(super) struct Pools {
    pub(super) pools: Vec<Pool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) up: bool,
    pub(super) panic: bool,
    pub(super) method: String,
    pub(super) in_flight: Load,
    pub(super) queued: Load,
    pub(super) dropped: Dropped,
    pub(super) pace: Pace,
    pub(super) backends: Vec<Backend>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Load {
    pub(super) current: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Dropped {
    pub(super) total: u64,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) state: State,
    pub(super) since: jiff::Timestamp,
    pub(super) reason: String,
    pub(super) role: String,
    pub(super) weight: u32,
    pub(super) capacity: u64,
    pub(super) enabled: bool,
    pub(super) in_flight: Load,
    pub(super) requests_per_second: f64,
    pub(super) failed: BTreeMap<String, u64>,
}

/// State of an endpoint, the better ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum State {
    Up,
    Draining,
    Disabled,
    Ejected,
    Down,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Draining => "Draining",
            Self::Disabled => "Disabled",
            Self::Ejected => "Ejected",
            Self::Down => "Down",
        }
    }
}

impl Figures {
    /// Whether every proxy answered, and all that is enabled is up.
    pub(super) fn all_up(&self) -> bool {
        let Overview { pools, endpoints, missing, .. } = &self.overview;
        self.failed.is_empty() && missing.is_empty() && pools.up == pools.total && endpoints.up == endpoints.total
    }
}

impl Pool {
    /// Endpoints that are up.
    pub(super) fn endpoints_up(&self) -> usize {
        self.backends.iter().filter(|backend| backend.state == State::Up).count()
    }
}
