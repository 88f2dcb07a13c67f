//! Settings of a Pool that judge its backends.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fill;
use super::grpc::GrpcStatus;
use super::schema::{duration, statuses};

/// How backends are judged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthSpec {
    /// By failures seen in traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveHealthSpec>,
    /// Below this percentage of endpoints up, balance over all of them; 0 = never. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold: Option<u32>,
    /// Time in which the share of a backend that is new or came up grows from 10% to its full size. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub slow_start: Option<String>,
    /// By probes. While there are any, it is they that bring an endpoint back, and not `passive.failTimeout`. Default:
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveHealthSpec>,
    /// Whether an endpoint that went down stays out until someone sets its Backend's `enabled` to false and to true again.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_offline: Option<bool>,
}

impl Fill for HealthSpec {
    fn fill(&mut self, base: &Self) {
        let Self { passive, panic_threshold, slow_start, active, sticky_offline } = self;
        passive.fill(&base.passive);
        panic_threshold.fill(&base.panic_threshold);
        slow_start.fill(&base.slow_start);
        active.fill(&base.active);
        sticky_offline.fill(&base.sticky_offline);
    }
}

/// Which failures seen in traffic take an endpoint out, and for how long.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassiveHealthSpec {
    /// Failures that take an endpoint out; 0 = never. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_fails: Option<u32>,
    /// Longest time between two failures that add up, and the time an endpoint stays out. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub fail_timeout: Option<String>,
    /// Response statuses that count as failures, as masks: 502, 50x, 5xx. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "statuses")]
    pub statuses: Option<Vec<String>>,
    /// Statuses of gRPC that count as failures, if they come in the head of a response. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub grpc_statuses: Option<Vec<GrpcStatus>>,
}

impl Fill for PassiveHealthSpec {
    fn fill(&mut self, base: &Self) {
        let Self { max_fails, fail_timeout, statuses, grpc_statuses } = self;
        grpc_statuses.fill(&base.grpc_statuses);
        max_fails.fill(&base.max_fails);
        fail_timeout.fill(&base.fail_timeout);
        statuses.fill(&base.statuses);
    }
}

/// How endpoints are probed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActiveHealthSpec {
    /// What is asked: HTTP: one request; FastCGI: one request to a script; GRPC: grpc.health.v1; TCP: a connection. Default: HTTP.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProbeType>,
    /// When. Paranoid: always, and an endpoint that is not known yet gets no traffic; Opportunistic: starts up, probes
    /// while it is down or had no request for an interval; Lazy: starts up, probes while it is down. Default: Paranoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<HealthMode>,
    /// Of HTTP and FastCGI. Default: GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub method: Option<String>,
    /// Of HTTP: path and query, by default /. Of FastCGI: absolute path of the script. Of GRPC: the name of the service, by default the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// The host that HTTP, FastCGI and GRPC ask for. Default: the address of the Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub host: Option<String>,
    /// More headers of HTTP and FastCGI. Default: none but `user-agent: weir-health-check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub headers: Option<Vec<ProbeHeader>>,
    /// Statuses of HTTP and FastCGI that pass, as masks: 200, 20x, 2xx. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "statuses")]
    pub statuses: Option<Vec<String>>,
    /// From one probe to the next, at least 10ms. Default: 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub interval: Option<String>,
    /// Of one probe, at most the interval. Default: 1s, or the interval if that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub timeout: Option<String>,
    /// Passes in a row that bring an endpoint back. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub healthy_threshold: Option<u32>,
    /// Failures in a row that take an endpoint out. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub unhealthy_threshold: Option<u32>,
}

impl Fill for ActiveHealthSpec {
    fn fill(&mut self, base: &Self) {
        let Self {
            kind,
            mode,
            method,
            path,
            host,
            headers,
            statuses,
            interval,
            timeout,
            healthy_threshold,
            unhealthy_threshold,
        } = self;
        // A pool that turns to another kind of probe leaves behind what the base asks for.
        if kind.is_none() || *kind == base.kind {
            method.fill(&base.method);
            path.fill(&base.path);
            host.fill(&base.host);
            headers.fill(&base.headers);
            statuses.fill(&base.statuses);
        }
        kind.fill(&base.kind);
        mode.fill(&base.mode);
        interval.fill(&base.interval);
        timeout.fill(&base.timeout);
        healthy_threshold.fill(&base.healthy_threshold);
        unhealthy_threshold.fill(&base.unhealthy_threshold);
    }
}

/// Kinds of probes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeType {
    /// One request over HTTP/1.1.
    #[default]
    HTTP,
    /// One request over FastCGI.
    FastCGI,
    /// `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
    GRPC,
    /// A connection.
    TCP,
}

impl Fill for ProbeType {}

/// When endpoints are probed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthMode {
    /// Always.
    #[default]
    Paranoid,
    /// While they are down or idle.
    Opportunistic,
    /// While they are down.
    Lazy,
}

impl Fill for HealthMode {}

/// A header of a probe.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeHeader {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: String,
}
