//! Probes of containers: real requests, judged by their thresholds.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::time::{interval, sleep, timeout};

use super::record::Record;
use crate::get;

/// How many probes of a pod passed and failed, of all kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probes {
    /// Answered in time, with a status from 200 to 399.
    pub passed: u64,
    /// All others.
    pub failed: u64,
}

/// One probe of a container, ready to run.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    address: SocketAddr,
    path: String,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl Prober {
    /// `None` if the container has no such probe.
    pub(super) fn new(probe: Option<&Probe>, container: &Container, ip: IpAddr) -> anyhow::Result<Option<Self>> {
        let Some(probe) = probe else { return Ok(None) };
        let action = probe.http_get.as_ref().context("only httpGet probes are supported here")?;
        let seconds =
            |value: Option<i32>, default| Duration::from_secs(value.map_or(default, |v| v.unsigned_abs().into()));
        Ok(Some(Self {
            address: address(action, container, ip)?,
            path: action.path.clone().unwrap_or_else(|| "/".to_owned()),
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: probe.success_threshold.unwrap_or(1).unsigned_abs(),
            failures: probe.failure_threshold.unwrap_or(3).unsigned_abs(),
        }))
    }

    /// Probes until `judge` breaks. It is told each verdict that a threshold makes: passing or not.
    pub(super) async fn run<T>(&self, record: &Record, mut judge: impl FnMut(bool) -> ControlFlow<T>) -> T {
        sleep(self.initial_delay).await;
        let mut ticks = interval(self.period);
        let mut streak = Streak::default();
        loop {
            ticks.tick().await;
            let passed = self.probe().await;
            record.probed(passed);
            let needed = if passed { self.successes } else { self.failures };
            if streak.add(passed) >= needed
                && let ControlFlow::Break(end) = judge(passed)
            {
                return end;
            }
        }
    }

    async fn probe(&self) -> bool {
        let answer = timeout(self.timeout, get(self.address, &self.path)).await;
        matches!(answer, Ok(Ok(response)) if (200..400).contains(&response.status))
    }
}

/// How many results in a row were the same.
#[derive(Debug, Default)]
struct Streak {
    passed: bool,
    length: u32,
}

impl Streak {
    fn add(&mut self, passed: bool) -> u32 {
        self.length = if passed == self.passed { self.length + 1 } else { 1 };
        self.passed = passed;
        self.length
    }
}

/// Where a request to a container goes.
pub(super) fn address(action: &HTTPGetAction, container: &Container, ip: IpAddr) -> anyhow::Result<SocketAddr> {
    let HTTPGetAction { host, http_headers, path: _, port, scheme } = action;
    if host.is_some() || http_headers.is_some() || scheme.as_deref().unwrap_or("HTTP") != "HTTP" {
        bail!("of httpGet only path and port are supported here");
    }
    let port = match port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let port = ports.find(|port| port.name.as_ref() == Some(name));
            port.with_context(|| format!("httpGet names the port {name}, which is none"))?.container_port
        }
    };
    Ok(SocketAddr::new(ip, port.try_into()?))
}
