//! The life of one pod.
//!
//! LIFECYCLE: network -> volumes, as soon as all that they need is there -> containers -> stop -> the API server is told
//! that it is gone.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tokio::task::JoinSet;

use super::container::{Container, Place};
use super::network::PodNetwork;
use super::node::{Node, Stop};
use super::record::Record;
use super::run::{Restart, Run};
use super::status::{Reporter, State};
use super::volumes::Volumes;

/// Runs a pod until it is to stop or has ended, and is deleted.
pub(super) async fn live(node: Arc<Node>, pod: Arc<Pod>, record: Arc<Record>, stop: Stop) {
    let reporter = Arc::new(Reporter::start(node.pods(), &pod));
    let mut deletion = stop.clone();
    let life = Life { node: node.clone(), pod: pod.clone(), record, reporter: reporter.clone(), stop };
    if let Err(e) = life.run().await {
        // As pods whose containers cannot be made: it stays, and says why.
        reporter.update(|status| {
            status.containers.iter_mut().for_each(|container| container.state = State::Waiting(format!("{e:#}")));
        });
    }
    let _ = deletion.wait_for(Option::is_some).await;
    if let Some(reporter) = Arc::into_inner(reporter) {
        reporter.finish().await;
    }
    remove(&node, &pod).await;
}

/// Tells the API server that nothing of the pod runs any more.
async fn remove(node: &Node, pod: &Pod) {
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let now = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(preconditions), ..Default::default() };
    // If it is gone already, that is well.
    let _ = node.pods().delete(&pod.name_any(), &now).await;
}

struct Life {
    node: Arc<Node>,
    pod: Arc<Pod>,
    record: Arc<Record>,
    reporter: Arc<Reporter>,
    stop: Stop,
}

impl Life {
    async fn run(self) -> anyhow::Result<()> {
        supported(&self.pod)?;
        let network = self.node.network.clone();
        let network = tokio::task::spawn_blocking(move || network.pod()).await?;
        self.reporter.update(|status| status.address = Some(network.address().to_string()));
        let dir = self.node.dir.path().join(self.pod.uid().context("a pod with a uid")?);
        let around = self.node.surroundings(network.address());
        let mut volumes = Volumes::new(&self.node, &self.pod, around, dir.join("volumes")).await?;
        let mut stop = self.stop.clone();
        tokio::select! {
            written = self.write(&mut volumes) => written?,
            _ = stop.wait_for(Option::is_some) => return Ok(()),
        }
        let containers = self.containers(&dir, &network, &volumes)?;
        tokio::select! {
            () = self.run_containers(containers) => Ok(()),
            followed = self.follow(&mut volumes) => followed.map(|never| match never {}),
        }
    }

    fn containers(&self, dir: &Path, network: &PodNetwork, volumes: &Volumes) -> anyhow::Result<Vec<Container>> {
        let around = self.node.surroundings(network.address());
        let specs = self.pod.spec.iter().flat_map(|spec| &spec.containers).enumerate();
        let place = |index| Place {
            pod: &self.pod,
            dir: dir.join(format!("root-{index}")),
            network: network.file(),
            ip: network.address().into(),
            around: &around,
            volumes,
        };
        specs.map(|(index, spec)| Container::new(index, spec, place(index))).collect()
    }

    /// Writes the volumes, as soon as all that they need is there.
    async fn write(&self, volumes: &mut Volumes) -> anyhow::Result<()> {
        let (mut secrets, mut config_maps) = (self.node.secrets.changes(), self.node.config_maps.changes());
        while let Some(missing) = volumes.write()? {
            self.reporter.update(|status| {
                let waiting = State::Waiting(format!("{missing} is missing"));
                status.containers.iter_mut().for_each(|container| container.state = waiting.clone());
            });
            tokio::select! {
                changed = secrets.changed() => changed?,
                changed = config_maps.changed() => changed?,
            }
        }
        Ok(())
    }

    /// Keeps the volumes up to date. What is deleted meanwhile stays as it was.
    async fn follow(&self, volumes: &mut Volumes) -> anyhow::Result<Infallible> {
        let (mut secrets, mut config_maps) = (self.node.secrets.changes(), self.node.config_maps.changes());
        loop {
            tokio::select! {
                changed = secrets.changed() => changed?,
                changed = config_maps.changed() => changed?,
            }
            volumes.write()?;
        }
    }

    async fn run_containers(&self, containers: Vec<Container>) {
        let mut running = JoinSet::new();
        for container in containers {
            let restart = Restart::of(&self.pod);
            let (reporter, record, until) = (self.reporter.clone(), self.record.clone(), self.stop.clone());
            running.spawn(Run { container, restart, reporter, record, until }.run());
        }
        while running.join_next().await.is_some() {}
    }
}

/// Refuses what would be ignored otherwise.
fn supported(pod: &Pod) -> anyhow::Result<()> {
    let spec = pod.spec.as_ref().context("a pod with a specification")?;
    if spec.init_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        bail!("initContainers are not supported here");
    }
    if spec.host_network == Some(true) || spec.host_aliases.is_some() || spec.dns_config.is_some() {
        bail!("hostNetwork, hostAliases and dnsConfig are not supported here");
    }
    Ok(())
}
