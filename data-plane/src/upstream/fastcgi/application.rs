//! What is kept about an application behind an endpoint.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_proto::model::{EndpointAddress, FastCgi, Protocol};

use super::backlog::Backlog;

/// An application.
#[derive(Debug)]
pub struct Application {
    /// How it finds scripts. Configuration; swapped.
    pub config: ArcSwap<FastCgi>,
    /// Requests that may wait for our idle connections to close.
    pub backlog: Arc<Backlog>,
}

impl Application {
    /// The application of an endpoint at this address, if `protocol` is FastCGI.
    #[must_use]
    pub fn of(protocol: &Protocol, address: &EndpointAddress) -> Option<Self> {
        let Protocol::FastCgi(config) = protocol else { return None };
        Some(Self { config: ArcSwap::from_pointee(config.clone()), backlog: Backlog::of(address) })
    }

    /// Goes by the settings of now.
    pub fn configure(&self, protocol: &Protocol) {
        if let Protocol::FastCgi(config) = protocol {
            self.config.store(Arc::new(config.clone()));
        }
    }
}
