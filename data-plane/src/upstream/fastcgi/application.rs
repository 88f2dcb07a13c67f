//! What is kept about an application behind an endpoint.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_proto::model::{FastCgi, Protocol};

use super::backlog::Backlog;
use crate::pool::Endpoint;

/// An application.
#[derive(Debug)]
pub struct Application {
    /// How it finds scripts. Configuration; swapped.
    pub config: ArcSwap<FastCgi>,
    /// Requests that may wait for our idle connections to close.
    pub backlog: Backlog,
}

impl Application {
    /// The application of an endpoint that speaks `protocol`, if it is one.
    #[must_use]
    pub fn of(protocol: &Protocol) -> Option<Self> {
        let Protocol::FastCgi(config) = protocol else { return None };
        Some(Self { config: ArcSwap::from_pointee(config.clone()), backlog: Backlog::default() })
    }

    /// Goes by the settings of now.
    pub fn configure(&self, protocol: &Protocol) {
        if let Protocol::FastCgi(config) = protocol {
            self.config.store(Arc::new(config.clone()));
        }
    }
}

/// A request to an application that has not heard anything; ends when dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Endpoint>);

impl Waiting {
    /// Begins to wait, on a new connection.
    #[must_use]
    pub fn at(endpoint: &Arc<Endpoint>) -> Self {
        if let Some(application) = &endpoint.fastcgi {
            application.backlog.enter();
        }
        Self(endpoint.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(application) = &self.0.fastcgi {
            application.backlog.leave();
        }
    }
}
