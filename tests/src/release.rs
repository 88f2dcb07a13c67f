//! The chart, installed by real helm on a cluster of its own, with its pods running.

use std::net::SocketAddr;

use crate::manifest::repository;
use crate::{Kube, Kubelet};

/// Where the release is.
pub const NAMESPACE: &str = "weir-system";
/// The label of pods of the control plane.
pub const CONTROL_PLANE: &str = "app.kubernetes.io/component=control-plane";
/// The label of pods of the data plane.
pub const DATA_PLANE: &str = "app.kubernetes.io/component=data-plane";

/// An installed release.
#[derive(Debug)]
pub struct Release {
    // Pods end before their cluster does.
    kubelet: Kubelet,
    kube: Kube,
}

impl Release {
    /// Installs the chart with these values (`name=value`), in a namespace where only restricted pods may run, and waits
    /// until helm says that it is up.
    ///
    /// # Panics
    /// If it is not.
    pub async fn install(values: &[&str]) -> Self {
        let kube = Kube::start().await;
        kube.kubectl(&["create", "namespace", NAMESPACE]).await.expect("a namespace");
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        kube.kubectl(&["label", "namespace", NAMESPACE, restricted]).await.expect("a label");
        let kubelet = Kubelet::start(&kube, NAMESPACE).await;
        let release = Self { kubelet, kube };
        release.helm("install", values).await;
        release
    }

    /// Upgrades it to these values; all others go back to their defaults.
    ///
    /// # Panics
    /// If helm does not say that it is up.
    pub async fn upgrade(&self, values: &[&str]) {
        self.helm("upgrade", values).await;
    }

    /// Uninstalls it, and waits until its pods are gone.
    ///
    /// # Panics
    /// If that fails.
    pub async fn uninstall(&self) {
        let arguments = ["uninstall", "weir", "--namespace", NAMESPACE, "--wait", "--timeout=120s"];
        self.kube.helm(&arguments).await.expect("an uninstalled chart");
        self.kubelet.ready("app.kubernetes.io/part-of=weir", 0).await;
    }

    async fn helm(&self, verb: &str, values: &[&str]) {
        let chart = repository().join("deploy/chart");
        let chart = chart.to_str().expect("a path of text");
        let mut arguments = vec![verb, "weir", chart, "--namespace", NAMESPACE, "--wait", "--timeout=120s"];
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        if let Err(e) = self.kube.helm(&arguments).await {
            panic!("{e:#}\n{}", self.kubelet.outputs());
        }
    }

    /// Its cluster.
    pub fn kube(&self) -> &Kube {
        &self.kube
    }

    /// Its node.
    pub fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// An address of a new mock server that pods reach.
    pub async fn backend(&self, name: &str) -> crate::Backend {
        let address = SocketAddr::new(self.kubelet.gateway(), 0);
        crate::Backend::start_on(&address.to_string(), name).await
    }
}
