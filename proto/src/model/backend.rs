//! A Backend: one destination of a pool.

use std::collections::BTreeMap;

use super::{Address, ProxyProtocol, ResourceName};

/// A complete Backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/name`.
    pub name: ResourceName,
    /// The Pool it belongs to, of the same namespace.
    pub pool: ResourceName,
    /// Where it listens.
    pub address: Address,
    /// Share among the pool's endpoints, at most [`super::pool::MAX_WEIGHT`]; 0 = no new traffic.
    pub weight: u32,
    /// False = taken out by hand.
    pub enabled: bool,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// For plugins that go by scores.
    pub score: i64,
    /// In a pool of TCP: how it is told who the client is, if it is told.
    pub proxy_protocol: Option<ProxyProtocol>,
}
