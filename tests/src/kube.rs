//! A real Kubernetes API: etcd, kube-apiserver and kube-controller-manager, which `tests/cluster` builds and runs.
//!
//! There are no nodes: what a Deployment asks for stays pending until a [`crate::Kubelet`] takes it.

mod access;
mod cluster;
mod commands;
mod namespace;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::eventually;
use crate::manifest::repository;
use cluster::Cluster;
pub use namespace::Namespace;

/// The variable that names the folder of the cluster that tests share.
const SHARED: &str = "WEIR_TEST_CLUSTER";

/// A cluster, with an administrator's rights. Cheap to clone; the last clone of a private one stops it.
#[derive(Clone)]
pub struct Kube {
    place: Arc<Place>,
    client: Client,
}

struct Place {
    dir: PathBuf,
    description: Description,
    /// Also whether kinds of Weir are there; of the shared cluster every test process asks for itself.
    crds: OnceCell<()>,
    private: Option<Cluster>,
}

/// What `cluster.json` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    bin: PathBuf,
    kubeconfig: PathBuf,
    ca: PathBuf,
    server: String,
    port: u16,
    service_address: std::net::IpAddr,
}

impl fmt::Debug for Kube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kube").field("description", &self.place.description).finish_non_exhaustive()
    }
}

impl Kube {
    /// The cluster that all tests share: each takes a [`Kube::namespace`] of its own in it.
    ///
    /// # Panics
    /// If there is none.
    pub async fn shared() -> Self {
        let dir = std::env::var_os(SHARED).unwrap_or_else(|| {
            panic!("{SHARED} is not set: start a cluster by `go run -C tests/cluster . up --dir DIR` and set it to DIR")
        });
        Self::at(dir.into(), None).await
    }

    /// A cluster of its own, for tests that stop its API server or install what is cluster-wide.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        let cluster = Cluster::start().await;
        Self::at(cluster.dir().to_owned(), Some(cluster)).await
    }

    async fn at(dir: PathBuf, private: Option<Cluster>) -> Self {
        let text = fs::read(dir.join("cluster.json")).expect("the folder of a cluster that is ready");
        let description: Description = serde_json::from_slice(&text).expect("a description of a cluster");
        let client = Client::try_from(config(&description.kubeconfig).await).expect("a client");
        Self { place: Arc::new(Place { dir, description, crds: OnceCell::new(), private }), client }
    }

    /// A client with an administrator's rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.place.description.kubeconfig
    }

    /// What a client with an administrator's rights is made from.
    pub async fn config(&self) -> Config {
        config(self.kubeconfig()).await
    }

    /// The certificate of the authority that signed the API server's, as text.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn ca(&self) -> String {
        fs::read_to_string(&self.place.description.ca).expect("the certificate of the authority")
    }

    /// The port of the API server, on each address of this machine.
    pub fn port(&self) -> u16 {
        self.place.description.port
    }

    /// The address of the Service `kubernetes`, for which the API server's certificate is valid.
    pub fn service_address(&self) -> std::net::IpAddr {
        self.place.description.service_address
    }

    /// Makes sure that the kinds of Weir are there.
    ///
    /// # Panics
    /// If the API server refuses them.
    pub async fn crds(&self) {
        self.place.crds.get_or_init(|| self.apply_crds()).await;
    }

    async fn apply_crds(&self) {
        self.define(&repository().join("deploy/crds")).await;
    }

    /// Applies CustomResourceDefinitions, a file or a folder of them, and waits until they are in force.
    ///
    /// # Panics
    /// If the API server refuses them.
    pub async fn define(&self, definitions: &Path) {
        let file = definitions.to_str().expect("a path of text");
        self.kubectl(&["apply", "--server-side", "-f", file]).await.expect("definitions that are accepted");
        // It fails, instead of waiting, while there are no conditions yet.
        let wait = ["wait", "--for=condition=Established", "-f", file];
        eventually("definitions are in force", async || self.kubectl(&wait).await.ok()).await;
    }
}

/// # Panics
/// If the file is no kubeconfig.
async fn config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a valid kubeconfig")
}
