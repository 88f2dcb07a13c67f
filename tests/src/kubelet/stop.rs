//! How a container ends: its preStop hook, SIGTERM, and when the grace period is over, SIGKILL.

use std::net::IpAddr;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::probe::address;
use super::record::signal;
use crate::get;

/// What is left for SIGTERM, however long the hook took.
const LEAST: Duration = Duration::from_secs(2);

/// What runs before SIGTERM.
#[derive(Debug, Clone)]
pub(super) enum PreStop {
    Nothing,
    Sleep(Duration),
    Get { address: std::net::SocketAddr, path: String },
}

impl PreStop {
    pub(super) fn new(container: &Container, ip: IpAddr) -> anyhow::Result<Self> {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        match hook {
            None => Ok(Self::Nothing),
            Some(LifecycleHandler { sleep: Some(sleep), .. }) => {
                Ok(Self::Sleep(Duration::from_secs(sleep.seconds.unsigned_abs())))
            }
            Some(LifecycleHandler { http_get: Some(action), .. }) => Ok(Self::Get {
                address: address(action, container, ip).context("preStop")?,
                path: action.path.clone().unwrap_or_else(|| "/".to_owned()),
            }),
            Some(_) => bail!("of preStop only sleep and httpGet are supported here: these images have no shell"),
        }
    }

    async fn run(&self) {
        match self {
            Self::Nothing => {}
            Self::Sleep(time) => sleep(*time).await,
            // A hook that fails does not keep its container from stopping.
            Self::Get { address, path } => drop(get(*address, path).await),
        }
    }
}

/// Stops a container within `grace`, and waits for its end.
pub(super) async fn stop(child: &mut Child, hook: &PreStop, grace: Duration) -> std::io::Result<ExitStatus> {
    let end = Instant::now() + grace;
    tokio::select! {
        status = child.wait() => return status,
        _ = timeout(grace, hook.run()) => {}
    }
    if let Some(process) = child.id().filter(|_| !grace.is_zero()) {
        signal("TERM", process);
        if let Ok(status) = timeout_at(end.max(Instant::now() + LEAST), child.wait()).await {
            return status;
        }
    }
    child.kill().await?;
    child.wait().await
}
