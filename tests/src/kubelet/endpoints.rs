//! Which pods serve for which Service: for the cluster's DNS, and for addresses of Services.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use super::mirror::Mirror;
use crate::Dns;

/// The EndpointSlices of a namespace.
#[derive(Debug)]
pub(super) struct Endpoints {
    namespace: String,
    slices: Mirror<EndpointSlice>,
}

impl Endpoints {
    pub(super) fn start(api: Api<EndpointSlice>, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), slices: Mirror::start(api) }
    }

    /// Where new connections to a port of a Service go: as kube-proxy does it, to the ready ones, or if there are none,
    /// to those that still serve while they terminate.
    pub(super) fn addresses(&self, service: &str, port: &str) -> Vec<SocketAddr> {
        let of = |taken: fn(&Endpoint) -> bool| -> Vec<SocketAddr> {
            self.of(service).iter().flat_map(|slice| with_port(slice, port, taken)).collect()
        };
        let ready = of(is_ready);
        if ready.is_empty() { of(still_serves) } else { ready }
    }

    fn of(&self, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.all().into_iter().filter(|slice| service_of(slice) == Some(service)).collect()
    }

    /// Addresses by name, for DNS. Those of Services with an address of their own are also those of their pods: nothing
    /// here would take connections to the Service's.
    fn names(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let mut names = BTreeMap::<String, Vec<IpAddr>>::new();
        for slice in self.slices.all() {
            let Some(service) = service_of(&slice) else { continue };
            let name = format!("{service}.{}.svc.cluster.local", self.namespace);
            names.entry(name).or_default().extend(slice.endpoints.iter().filter(|e| is_ready(e)).flat_map(ips));
        }
        names
    }

    /// Keeps `dns` up to date.
    pub(super) fn tell(self: &Arc<Self>, dns: Arc<Dns>) -> JoinHandle<()> {
        let (endpoints, mut changes) = (self.clone(), self.slices.changes());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                dns.set_all(endpoints.names());
            }
        })
    }
}

fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.labels().get("kubernetes.io/service-name").map(String::as_str)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
}

fn still_serves(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.is_some_and(|c| c.serving == Some(true) && c.terminating == Some(true))
}

fn ips(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().filter_map(|address| address.parse().ok())
}

fn with_port(slice: &EndpointSlice, name: &str, taken: fn(&Endpoint) -> bool) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let port = ports.filter(|port| port.name.as_deref().unwrap_or_default() == name).find_map(|port| port.port);
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { return Vec::new() };
    let endpoints = slice.endpoints.iter().filter(|endpoint| taken(endpoint));
    endpoints.flat_map(ips).map(|ip| SocketAddr::new(ip, port)).collect()
}
