//! Where a Backend that names a Service listens right now.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ResourceName;

/// Most endpoints of one Backend: with usual labels they fit into one message.
pub const MAX_ENDPOINTS: usize = 10_000;

/// The endpoints of one Backend; they change more often than anything else, and nothing else with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The name of the Backend.
    pub name: ResourceName,
    /// Sorted by address, each address once.
    pub endpoints: Vec<ServiceEndpoint>,
}

/// One of a Service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// It is about to go: no new requests while any other endpoint of the pool is up.
    pub terminating: bool,
    /// What is known of it alone, such as its zone.
    pub labels: BTreeMap<String, String>,
}
