//! A node for the pods of one namespace: runs their containers as real processes, the way a kubelet would.
//!
//! The API server, the controllers (Deployments, Jobs, EndpointSlices) and the pods' specifications are the real ones.
//! This takes the parts of scheduler, kubelet, container runtime, cluster DNS and kube-proxy. A container is a program
//! of this workspace in a root file system of its own, with the pod's user, network namespace and address, volumes,
//! environment and probes. What is not there: limits of CPU and memory, seccomp filters, network policies, renewal of
//! tokens. What a specification asks for beyond that fails its pod, with a sentence.

mod container;
mod endpoints;
mod environment;
mod mirror;
mod network;
mod node;
mod pod;
mod probe;
mod record;
mod root;
mod run;
mod service;
mod status;
mod stop;
mod volumes;

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::task::JoinHandle;

use crate::program::program;
use crate::{Kube, eventually};
use node::Node;
pub use probe::Probes;
pub use service::Service;

/// Runs the pods of a namespace until it is dropped; then it kills them and removes their networks.
#[derive(Debug)]
pub struct Kubelet {
    node: Arc<Node>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Starts one for a namespace, which may also be made later.
    ///
    /// # Panics
    /// If this process is not root's, which network namespaces need.
    pub async fn start(kube: &Kube, namespace: &str) -> Self {
        // Builds the programs, if that is still to do, which may take longer than anything waits for a pod.
        tokio::task::spawn_blocking(|| program("weir-data-plane")).await.expect("the programs");
        let node = Arc::new(Node::start(kube, namespace).await);
        let task = tokio::spawn(node.clone().run());
        Self { node, task }
    }

    /// The address of this machine by which pods reach it.
    pub fn gateway(&self) -> IpAddr {
        self.node.network.gateway().into()
    }

    /// The pods with these labels, such as `app=web`, that are not being deleted.
    ///
    /// # Panics
    /// If the API server does not answer.
    pub async fn pods(&self, labels: &str) -> Vec<Pod> {
        let pods = self.api().list(&ListParams::default().labels(labels)).await.expect("a list of pods");
        pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Waits until exactly `count` pods have these labels, all of them ready, and gives them.
    pub async fn ready(&self, labels: &str, count: usize) -> Vec<Pod> {
        eventually(&format!("{count} pods with {labels} are ready"), async || {
            let pods = self.pods(labels).await;
            (pods.len() == count && pods.iter().all(is_ready)).then_some(pods)
        })
        .await
    }

    /// All lines that the containers of a pod wrote so far.
    pub fn output(&self, pod: &str) -> String {
        self.node.record(pod).map(|record| record.output()).unwrap_or_default()
    }

    /// What all pods wrote so far, for the messages of tests that fail.
    pub fn outputs(&self) -> String {
        let records = self.node.records();
        records.iter().map(|(pod, record)| format!("== {pod}\n{}", record.output())).collect()
    }

    /// How the probes of a pod went so far.
    pub fn probes(&self, pod: &str) -> Probes {
        self.node.record(pod).map(|record| record.probes()).unwrap_or_default()
    }

    /// The id of the process of a pod's container.
    ///
    /// # Panics
    /// If there is no such pod, or its container does not run.
    pub fn process(&self, pod: &str) -> u32 {
        let record = self.node.record(pod).expect("a pod that this node runs");
        record.processes().next().expect("a container that runs")
    }

    /// Kills the containers of a pod with -9.
    ///
    /// # Panics
    /// If there is no such pod, or none of its containers runs.
    pub fn kill(&self, pod: &str) {
        self.node.record(pod).expect("a pod that this node runs").kill();
    }

    /// An address for a port of a Service, which takes new connections to ready pods only.
    pub async fn service(&self, name: &str, port: &str) -> Service {
        Service::start(self.node.endpoints.clone(), name, port).await
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.node.kube.client(), &self.node.namespace)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether a pod's status says that it is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
