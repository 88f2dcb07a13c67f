//! One endpoint of a pool: what users and the Service say of it, and what it does.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::model::{Backend, EndpointAddress, ServiceEndpoint};

use super::Endpoint;
use crate::upstream::tls::Terms;

/// Where an endpoint comes from. Configuration; swapped.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its Backend.
    pub backend: Arc<Backend>,
    /// What the Service says of this endpoint alone, if the Backend names one.
    pub service: Option<Arc<ServiceEndpoint>>,
    /// What TLS with it goes by, if it speaks that.
    pub tls: Option<Arc<Terms>>,
}

/// An endpoint of a pool.
#[derive(Debug, Clone)]
pub struct Member {
    /// Configuration; swapped.
    pub origin: Origin,
    /// Run-time state; survives.
    pub endpoint: Arc<Endpoint>,
}

/// What a pool shall have: one of the addresses that a Backend stands for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Why it shall have it.
    pub origin: Origin,
    /// Where it listens.
    pub address: EndpointAddress,
}

impl Origin {
    /// Whether users let requests go to it. Their word is not health.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.backend.enabled && self.backend.weight > 0
    }

    /// Whether it is about to go: it is asked only when nobody else of the pool is up.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.service.as_ref().is_some_and(|endpoint| endpoint.terminating)
    }

    /// Whether it is among the first to be asked.
    #[must_use]
    pub fn is_first_choice(&self) -> bool {
        self.takes_requests() && !self.is_terminating()
    }

    /// The label of this name: that of the endpoint alone, or else its Backend's.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let own = self.service.as_ref().and_then(|endpoint| endpoint.labels.get(name));
        own.or_else(|| self.backend.labels.get(name)).map(String::as_str)
    }

    /// The labels of the Backend, and over them those of the endpoint alone.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let own = self.service.iter().flat_map(|endpoint| &endpoint.labels);
        self.backend.labels.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Member {
    /// Whether health lets requests go to it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.endpoint.is_up()
    }
}

impl Target {
    /// An address of the Backend itself.
    #[must_use]
    pub fn new(backend: Arc<Backend>, address: EndpointAddress) -> Self {
        Self { origin: Origin { backend, service: None, tls: None }, address }
    }

    /// The same, spoken to by these terms if there are any.
    #[must_use]
    pub fn within(mut self, tls: Option<&Arc<Terms>>) -> Self {
        self.origin.tls = tls.cloned();
        self
    }

    /// One of the endpoints of the Service that the Backend names.
    #[must_use]
    pub fn of_service(backend: Arc<Backend>, endpoint: Arc<ServiceEndpoint>) -> Self {
        Self { address: endpoint.address.into(), origin: Origin { backend, service: Some(endpoint), tls: None } }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pool::runtime::tests::targets;

    /// The target as an endpoint of a Service.
    pub(crate) fn of_service(target: Target, terminating: bool, zone: &str) -> Target {
        let labels = [("zone".to_owned(), zone.to_owned())].into();
        Target::of_service(
            target.origin.backend,
            Arc::new(ServiceEndpoint { address: target.address.socket().unwrap(), terminating, labels }),
        )
    }

    #[test]
    fn labels_of_the_endpoint_go_over_those_of_its_backend() {
        let mut target = targets(&[1]).remove(0);
        let labels = |zone: &str| {
            BTreeMap::from([("tier", "gold"), ("zone", zone)].map(|(key, value)| (key.to_owned(), value.to_owned())))
        };
        Arc::make_mut(&mut target.origin.backend).labels = labels("a");
        assert_eq!(target.origin.labels(), labels("a"));
        assert_eq!(target.origin.label("zone"), Some("a"));
        let own = of_service(target, false, "b").origin;
        assert_eq!(own.labels(), labels("b"));
        assert_eq!((own.label("zone"), own.label("tier"), own.label("x")), (Some("b"), Some("gold"), None));
    }
}
