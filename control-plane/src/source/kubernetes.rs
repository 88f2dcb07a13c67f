//! The resources of a cluster: what its users wrote, as the API server tells it.
//!
//! Objects are watched, one watch a kind and namespace; Secrets and ConfigMaps each by itself, and only those that
//! resources name. Nothing is told before each kind's first list is complete
//! in every namespace. When a watch fails, what was told stays, and it goes on where it broke off, or with a new
//! list, which is told when it is complete.

mod backoff;
mod client;
mod content;
mod failures;
mod lists;
mod resource;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use self::watch::Watches;
pub use client::{ClientError, connect};
use failures::Failures;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;
use weir_proto::model::{Key, Kind, ResourceName};

use super::{Batch, Source};
use crate::api::{Backend, Plugin, Pool};
use crate::contents::Wanted;
use crate::metrics::Metrics;
use crate::status::Observed;

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// The Kubernetes source.
#[derive(Clone)]
pub struct KubernetesSource {
    client: Client,
    /// Each watched by itself; one `None` = the whole cluster.
    namespaces: Vec<Option<Arc<str>>>,
    observed: Arc<Observed>,
    /// The Secrets and ConfigMaps that resources name: the others are nobody's business.
    wanted: Sender<Wanted>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for KubernetesSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesSource").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

impl KubernetesSource {
    /// A source of the resources in these namespaces; none = all of the cluster.
    #[must_use]
    pub fn new(client: Client, namespaces: &[String], metrics: Arc<Metrics>) -> Self {
        let each = namespaces.iter().map(|namespace| Some(Arc::from(namespace.as_str())));
        let namespaces = if namespaces.is_empty() { vec![None] } else { each.collect() };
        Self { client, namespaces, observed: Arc::default(), wanted: Sender::default(), metrics }
    }

    /// The way to the API server.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The statuses that objects were last seen with.
    #[must_use]
    pub fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// Who names Secrets and ConfigMaps says so here.
    #[must_use]
    pub fn wanted(&self) -> &Sender<Wanted> {
        &self.wanted
    }

    async fn watch<K: Resource<DynamicType = ()>>(&self, kind: Kind, batches: mpsc::Sender<Batch>) {
        let mut watches = Watches::new();
        for namespace in &self.namespaces {
            let api = resource::endpoint::<K>(self.client.clone(), namespace.as_deref());
            let observed = self.observed.clone();
            let reduce = move |name, object| resource::reduce(Key { kind, name }, object, &observed);
            watches.add(api, config(), namespace.clone(), reduce);
        }
        let changes = |told| resource::changes(kind, told, &self.observed);
        watches.run(batches, self.failures(kind.as_str()), changes).await;
    }

    async fn watch_services(&self, batches: mpsc::Sender<Batch>) {
        let mut watches = Watches::new();
        for namespace in &self.namespaces {
            let api: Api<DeserializeGuard<Service>> = self.api(namespace.as_deref());
            watches.add(api, config(), namespace.clone(), |name, object| {
                service::guarded(&name, object, service::service)
            });
        }
        watches.run(batches, self.failures("Service"), service::service_changes).await;
    }

    async fn watch_slices(&self, batches: mpsc::Sender<Batch>) {
        let mut watches = Watches::new();
        let config = config().labels(service::SERVICE_NAME);
        for namespace in &self.namespaces {
            let api: Api<DeserializeGuard<EndpointSlice>> = self.api(namespace.as_deref());
            let reduce = |name: ResourceName, object| service::guarded(&name, object, service::slice);
            watches.add(api, config.clone(), namespace.clone(), reduce);
        }
        watches.run(batches, self.failures("EndpointSlice"), service::slice_changes).await;
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn failures(&self, kind: &'static str) -> Failures {
        Failures::new(kind, self.metrics.watch_failures(kind))
    }
}

/// List, then watch: every API server can do that. Lists are the newest, never those of a cache that may be older
/// than what was told already.
fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

impl Source for KubernetesSource {
    async fn run(self, batches: mpsc::Sender<Batch>, stop: CancellationToken) {
        let all = async {
            let pools = self.watch::<Pool>(Kind::Pool, batches.clone());
            let backends = self.watch::<Backend>(Kind::Backend, batches.clone());
            let plugins = self.watch::<Plugin>(Kind::Plugin, batches.clone());
            let services = self.watch_services(batches.clone());
            let slices = self.watch_slices(batches.clone());
            let contents = content::watch(self.client.clone(), self.wanted.subscribe(), batches, &self.metrics);
            tokio::join!(pools, backends, plugins, services, slices, contents);
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = all => {}
        }
    }
}
