//! What the API server is told about a pod.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two tries to reach an API server that is away.
const PAUSE: Duration = Duration::from_millis(100);

/// What a container does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// It cannot run yet, for this reason.
    Waiting(String),
    Running,
    /// It ended with this code.
    Ended(i32),
}

/// The part of a pod's status that changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Status {
    pub(super) address: Option<String>,
    pub(super) containers: Vec<ContainerStatus>,
}

/// The part of a container's status that changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ContainerStatus {
    name: String,
    image: String,
    pub(super) state: State,
    pub(super) ready: bool,
    pub(super) restarts: u32,
}

impl Status {
    pub(super) fn new(pod: &Pod) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let waiting = |container: &k8s_openapi::api::core::v1::Container| ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: State::Waiting("ContainerCreating".to_owned()),
            ready: false,
            restarts: 0,
        };
        Self { address: None, containers: containers.map(waiting).collect() }
    }

    fn phase(&self) -> &'static str {
        let code = |container: &ContainerStatus| match container.state {
            State::Ended(code) => Some(code),
            State::Waiting(_) | State::Running => None,
        };
        if self.containers.iter().all(|c| code(c) == Some(0)) {
            "Succeeded"
        } else if self.containers.iter().all(|c| code(c).is_some()) {
            "Failed"
        } else if self.containers.iter().any(|c| c.state == State::Running || c.restarts > 0) {
            "Running"
        } else {
            "Pending"
        }
    }

    fn json(&self) -> Value {
        let ready = self.containers.iter().all(|container| container.ready);
        let condition = |name, value: bool| json!({"type": name, "status": if value { "True" } else { "False" }});
        let mut status = json!({
            "phase": self.phase(),
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", ready), condition("Ready", ready),
            ],
            "containerStatuses": self.containers.iter().map(ContainerStatus::json).collect::<Vec<_>>(),
        });
        if let Some(address) = &self.address {
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{"ip": address}]);
        }
        status
    }
}

impl ContainerStatus {
    fn json(&self) -> Value {
        let state = match &self.state {
            State::Waiting(reason) => json!({"waiting": {"reason": "Waiting", "message": reason}}),
            State::Running => json!({"running": {}}),
            State::Ended(code) => json!({"terminated": {"exitCode": code}}),
        };
        json!({
            "name": self.name, "image": self.image, "imageID": "", "restartCount": self.restarts,
            "ready": self.ready, "started": self.state == State::Running, "state": state,
        })
    }
}

/// Patches a pod's status whenever it changes; bursts are one patch.
#[derive(Debug)]
pub(super) struct Reporter {
    status: watch::Sender<Status>,
    task: JoinHandle<()>,
}

impl Reporter {
    pub(super) fn start(api: Api<Pod>, pod: &Arc<Pod>) -> Self {
        let (status, changes) = watch::channel(Status::new(pod));
        let task = tokio::spawn(report(api, pod.clone(), changes));
        Self { status, task }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    pub(super) fn container(&self, index: usize, change: impl FnOnce(&mut ContainerStatus)) {
        self.update(|status| change(&mut status.containers[index]));
    }

    /// Waits until the API server knows the last status.
    pub(super) async fn finish(self) {
        drop(self.status);
        // It ends by itself when all is said.
        let _ = self.task.await;
    }
}

async fn report(api: Api<Pod>, pod: Arc<Pod>, mut changes: watch::Receiver<Status>) {
    while changes.changed().await.is_ok() {
        let status = changes.borrow_and_update().json();
        // The uid makes it a conflict to patch another pod of that name.
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
        while let Err(e) = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            if matches!(e, kube::Error::Api(_)) {
                break; // the pod is gone
            }
            sleep(PAUSE).await;
        }
    }
}
