//! The node: which pods it runs, and what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node as Object, Pod, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::endpoints::Endpoints;
use super::environment::Surroundings;
use super::mirror::Mirror;
use super::network::Network;
use super::pod;
use super::record::Record;
use crate::{Dns, Kube};

/// How long a pod may take to stop, once it is to stop.
pub(super) type Stop = watch::Receiver<Option<Duration>>;

/// What the pods of a node share.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kube: Kube,
    pub(super) namespace: String,
    pub(super) network: Arc<Network>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) secrets: Mirror<Secret>,
    pub(super) config_maps: Mirror<ConfigMap>,
    /// The root file systems and volumes of pods.
    pub(super) dir: TempDir,
    name: String,
    records: Mutex<BTreeMap<String, Arc<Record>>>,
    _dns: Arc<Dns>,
    names: JoinHandle<()>,
}

impl Node {
    pub(super) async fn start(kube: &Kube, namespace: &str) -> Self {
        let service = kube.service_address();
        let network = tokio::task::spawn_blocking(move || Network::start(service)).await.expect("a network");
        let name = format!("node-{}", network.gateway());
        register(kube, &name).await;
        let dns = Arc::new(Dns::start_on((network.gateway(), 53).into()).await);
        let endpoints = Arc::new(Endpoints::start(Api::namespaced(kube.client(), namespace), namespace));
        Self {
            kube: kube.clone(),
            namespace: namespace.to_owned(),
            network: Arc::new(network),
            names: endpoints.tell(dns.clone()),
            endpoints,
            secrets: Mirror::start(Api::namespaced(kube.client(), namespace)),
            config_maps: Mirror::start(Api::namespaced(kube.client(), namespace)),
            dir: tempfile::tempdir().expect("a temporary folder"),
            name,
            records: Mutex::default(),
            _dns: dns,
        }
    }

    pub(super) fn record(&self, pod: &str) -> Option<Arc<Record>> {
        self.records.lock().get(pod).cloned()
    }

    /// What is known about every pod that runs or ran here.
    pub(super) fn records(&self) -> BTreeMap<String, Arc<Record>> {
        self.records.lock().clone()
    }

    /// What a pod with this address has around it.
    pub(super) fn surroundings(&self, address: impl ToString) -> Surroundings {
        Surroundings {
            pod_address: address.to_string(),
            node_address: self.network.gateway().to_string(),
            service_host: self.kube.service_address().to_string(),
            service_port: self.kube.port(),
        }
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.kube.client(), &self.namespace)
    }

    /// Runs the namespace's pods. By level, not by event: each change of any pod compares all of them with what runs.
    pub(super) async fn run(self: Arc<Self>) {
        let pods = Mirror::start(self.pods());
        let mut changes = pods.changes();
        let mut running = Running::default();
        while changes.changed().await.is_ok() {
            let all = pods.all();
            running.stop_others(&all);
            for pod in all {
                self.attend(pod, &mut running).await;
            }
        }
    }

    async fn attend(self: &Arc<Self>, pod: Arc<Pod>, running: &mut Running) {
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        match on {
            None => self.bind(&pod).await,
            Some(node) if node == self.name => self.run_or_stop(pod, running),
            Some(_) => {}
        }
    }

    fn run_or_stop(self: &Arc<Self>, pod: Arc<Pod>, running: &mut Running) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(stop) = running.stops.get(&uid) {
            if pod.metadata.deletion_timestamp.is_some() {
                let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
                stop.send_replace(Some(Duration::from_secs(grace.unsigned_abs())));
            }
            return;
        }
        let record = Arc::new(Record::default());
        self.records.lock().insert(pod.name_any(), record.clone());
        let (stop, stopped) = watch::channel(None);
        running.stops.insert(uid, stop);
        running.pods.spawn(pod::live(self.clone(), pod, record, stopped));
    }

    /// Schedules a pod here. If somebody else was faster, or the pod is gone, its next event tells.
    async fn bind(&self, pod: &Pod) {
        let target = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name_any()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        });
        let (api, parameters) = (self.pods(), PostParams::default());
        let _ = api.create_subresource::<_, Value>("binding", &pod.name_any(), &parameters, &target).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.names.abort();
    }
}

/// The pods that were started here, by uid.
#[derive(Debug, Default)]
struct Running {
    stops: BTreeMap<String, watch::Sender<Option<Duration>>>,
    pods: JoinSet<()>,
}

impl Running {
    /// Kills what the API server does not know any more.
    fn stop_others(&mut self, known: &[Arc<Pod>]) {
        let known: Vec<_> = known.iter().filter_map(|pod| pod.uid()).collect();
        for (uid, stop) in &self.stops {
            if !known.contains(uid) {
                stop.send_replace(Some(Duration::ZERO));
            }
        }
        while self.pods.try_join_next().is_some() {}
    }
}

/// Makes the Node object, which DaemonSets look for; one of an earlier test may be there.
async fn register(kube: &Kube, name: &str) {
    let nodes = Api::<Object>::all(kube.client());
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a node");
    if let Err(e) = nodes.create(&PostParams::default(), &object).await {
        assert!(matches!(&e, kube::Error::Api(status) if status.code == 409), "the node {name}: {e}");
    }
    // New nodes are tainted until they are ready.
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""});
    let parameters = PatchParams::default();
    nodes.patch(name, &parameters, &Patch::Merge(json!({"spec": {"taints": null}}))).await.expect("a node");
    let status = json!({"status": {"conditions": [ready]}});
    nodes.patch_status(name, &parameters, &Patch::Merge(status)).await.expect("a node");
}
