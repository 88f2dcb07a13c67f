//! A status as it stands in an object of the cluster. Times are kept: a condition that holds as before, and an
//! endpoint in the state it was in, have the time they had.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;

use super::health::{BackendHealth, EndpointHealth, EndpointState, PoolHealth};
use super::{ConditionState, Health, InForce, Programmed, Seen, Status};
use crate::api::status::{BackendStatus, EndpointStatus, PluginStatus, PoolStatus, ProxyCounts, UpCounts};

/// The status of an object of any kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Document {
    Pool(Box<PoolStatus>),
    Backend(Box<BackendStatus>),
    Plugin(Box<PluginStatus>),
}

impl Document {
    /// What `status` says, for an object that was last seen like this.
    pub(super) fn new(status: &Status, seen: &Seen, now: Timestamp) -> Self {
        match &status.health {
            Health::Pool(health) => Self::Pool(Box::new(pool(status, *health, seen, now))),
            Health::Backend(health) => Self::Backend(Box::new(backend(status, health, seen, now))),
            Health::Plugin => Self::Plugin(Box::new(plugin(status, seen, now))),
        }
    }
}

fn pool(status: &Status, health: PoolHealth, seen: &Seen, now: Timestamp) -> PoolStatus {
    let PoolHealth { total, up } = health;
    let (method, priority) = match status.verdict.in_force {
        Some(InForce::Pool { method, priority }) => (Some(method), Some(priority)),
        _ => (None, None),
    };
    PoolStatus {
        conditions: conditions(status, seen, now),
        backends: Some(UpCounts::new(up, total)),
        proxies: Some(proxies(&status.programmed)),
        method,
        priority,
        observed_generation: status.verdict.generation,
    }
}

fn backend(status: &Status, health: &BackendHealth, seen: &Seen, now: Timestamp) -> BackendStatus {
    let BackendHealth { total, up, state: _, endpoints } = health;
    BackendStatus {
        conditions: conditions(status, seen, now),
        state: Some(state(status, health).to_owned()),
        address: status.verdict.address.clone(),
        endpoint_counts: Some(UpCounts::new(*up, *total)),
        endpoints: endpoints.iter().map(|endpoint| endpoint_status(endpoint, seen, now)).collect(),
        proxies: Some(proxies(&status.programmed)),
        observed_generation: status.verdict.generation,
    }
}

fn plugin(status: &Status, seen: &Seen, now: Timestamp) -> PluginStatus {
    PluginStatus {
        conditions: conditions(status, seen, now),
        used_by: status.verdict.used_by.clone(),
        proxies: Some(proxies(&status.programmed)),
        observed_generation: status.verdict.generation,
    }
}

/// One word for a column.
fn state(status: &Status, health: &BackendHealth) -> &'static str {
    match health.state {
        _ if status.verdict.in_force.is_none() => "Refused",
        Some(state) => state,
        None if status.programmed.programmed == 0 => "Unknown",
        None => "NoEndpoints",
    }
}

fn proxies(programmed: &Programmed) -> ProxyCounts {
    let number = |count: usize| count.try_into().unwrap_or(u32::MAX);
    ProxyCounts::new(number(programmed.programmed), number(programmed.total))
}

fn conditions(status: &Status, seen: &Seen, now: Timestamp) -> Vec<Condition> {
    let condition = |state: ConditionState| {
        let since = seen.condition_since(state.kind, state.holds).unwrap_or(now);
        let ConditionState { kind, holds, reason, message } = state;
        Condition {
            type_: kind.as_str().to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: Time(since),
            observed_generation: status.verdict.generation,
        }
    };
    status.conditions().map(condition).into()
}

fn endpoint_status(endpoint: &EndpointHealth, seen: &Seen, now: Timestamp) -> EndpointStatus {
    let EndpointHealth { address, state, since, fails, last_failure, left, proxies_up, proxies_total } =
        endpoint.clone();
    let left = (state == EndpointState::Draining).then_some(left);
    let state = state.as_str();
    let since = seen.endpoint_since(&address, state).or(since).unwrap_or(now);
    EndpointStatus {
        address: address.to_string(),
        state: state.to_owned(),
        since: Some(Time(since)),
        fails,
        last_failure,
        left,
        proxies_up,
        proxies_total,
    }
}
