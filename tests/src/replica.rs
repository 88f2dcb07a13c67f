//! A control plane in a process of its own.

use std::net::SocketAddr;
use std::path::Path;

use crate::metrics::samples;
use crate::program::{Program, program};
use crate::{Kube, eventually, get};

/// A `weir-control-plane`; killed when dropped.
#[derive(Debug)]
pub struct Replica {
    program: Program,
    grpc: SocketAddr,
    admin: SocketAddr,
}

impl Replica {
    /// Starts one that watches a folder, with this gRPC address and these flags besides.
    pub async fn start(folder: &Path, grpc: &str, more: &[&str]) -> Self {
        let folder = folder.to_str().expect("a path of text");
        let flags = ["--folder", folder, "--grpc", grpc, "--admin", "127.0.0.1:0"];
        Self::of(Program::start("weir-control-plane", &[&flags[..], more].concat())).await
    }

    /// Starts one that watches a namespace of a cluster, in which its Lease is too.
    pub async fn in_cluster(kube: &Kube, namespace: &str, pod: &str) -> Self {
        Self::with_rights(kube.kubeconfig(), namespace, pod).await
    }

    /// As [`Replica::in_cluster`], with the rights that a kubeconfig gives.
    pub async fn with_rights(kubeconfig: &Path, namespace: &str, pod: &str) -> Self {
        let addresses = ["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let names = ["--namespace", namespace, "--lease-namespace", namespace, "--pod-name", pod];
        let flags = [&addresses[..], &names].concat();
        let variables = [("KUBECONFIG", kubeconfig)];
        Self::of(Program::start_in(&program("weir-control-plane"), &flags, &variables)).await
    }

    async fn of(program: Program) -> Self {
        let line = program.line("grpc=").await;
        Self { grpc: address_after(&line, "grpc="), admin: address_after(&line, "admin="), program }
    }

    /// Where proxies connect.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.program.output()
    }

    /// Waits for a line of its log in which `text` occurs.
    pub async fn line(&self, text: &str) -> String {
        self.program.line(text).await
    }

    /// The sum over all samples of a metric.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metric(&self, name: &str) -> f64 {
        self.samples(name).await.iter().map(|(_, value)| value).sum()
    }

    /// The samples of a metric.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn samples(&self, name: &str) -> Vec<(String, f64)> {
        samples(&get(self.admin, "/metrics").await.expect("an admin that answers").text(), name)
    }

    /// Waits until so many proxies are connected.
    pub async fn has_proxies(&self, count: f64) {
        eventually(&format!("{count} proxies are connected"), async || {
            (self.metric("weir_proxies_connected").await == count).then_some(())
        })
        .await;
    }

    /// Stops it by SIGTERM, and gives the exit code.
    pub async fn stop(mut self) -> i32 {
        self.program.signal("TERM");
        self.program.exit_code().await
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub async fn kill(self) {
        self.program.kill().await;
    }
}

fn address_after(line: &str, label: &str) -> SocketAddr {
    let text = line.split_once(label).expect("an address in the log").1;
    text.split_whitespace().next().and_then(|text| text.parse().ok()).expect("an address")
}
