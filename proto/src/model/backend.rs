//! A Backend: one destination of a pool.

use std::collections::BTreeMap;

use super::{Address, BackendTls, FastCgi, ProxyProtocol, ResourceName};

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
    /// When it is asked.
    pub role: Role,
    /// Most requests in flight to one of its endpoints from one proxy, at most [`MAX_CAPACITY`]; 0 = unlimited.
    pub capacity: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// In a pool of TCP: how it is told who the client is, if it is told.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How it is spoken to within TLS, if it is.
    pub tls: Option<BackendTls>,
}

/// Largest capacity of a Backend.
pub const MAX_CAPACITY: u32 = 1_000_000;

/// When a backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// First.
    #[default]
    Active,
    /// When no active one could take the request, as it is down or full.
    Standby,
    /// When every active and standby one is down or disabled.
    Backup,
}

impl Role {
    /// Every role, in the order in which they are asked.
    pub const ALL: [Self; 3] = [Self::Active, Self::Standby, Self::Backup];

    /// The role as written in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Standby => "Standby",
            Self::Backup => "Backup",
        }
    }
}

/// What a Backend speaks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2: with prior knowledge, within TLS by ALPN.
    Http2,
    /// FastCGI, in the role of a responder.
    FastCgi(FastCgi),
}
