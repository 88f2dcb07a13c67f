//! What `status` says about a resource: for `kubectl get` and `kubectl describe`.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pool::BalanceMethod;

/// How many of how many. The words are for printer columns, which can show one plain value only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpCounts {
    /// How many there are.
    pub total: u32,
    /// How many of them are up.
    pub up: u32,
    /// Both, as `up/total`.
    #[serde(default)]
    pub summary: String,
}

impl UpCounts {
    /// `up` of `total`.
    #[must_use]
    pub fn new(up: u32, total: u32) -> Self {
        Self { total, up, summary: format!("{up}/{total}") }
    }
}

/// How far the proxies are with a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyCounts {
    /// Proxies that are connected.
    pub total: u32,
    /// Proxies that work with the current version.
    pub programmed: u32,
    /// Both, as `programmed/total`.
    #[serde(default)]
    pub summary: String,
}

impl ProxyCounts {
    /// `programmed` of `total`.
    #[must_use]
    pub fn new(programmed: u32, total: u32) -> Self {
        Self { total, programmed, summary: format!("{programmed}/{total}") }
    }
}

/// What is said about a Pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Accepted, ResolvedRefs and Programmed.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The Backends in force that belong to it; one is up if any of its endpoints is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<UpCounts>,
    /// How many proxies work with the current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxyCounts>,
    /// The balancing method in force, with what is inherited and the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<BalanceMethod>,
    /// The priority in force, with what is inherited and the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What is said about a Backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// Accepted, ResolvedRefs and Programmed.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// In one word: Up; Degraded if some endpoints are up and some are not; the state that most of them
    /// have if none is up; NoEndpoints; Unknown while no proxy has told; Refused if no version of the
    /// Backend is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Where its endpoints come from: its address, or service/NAME:PORT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many endpoints there are, and how many of them are up on every proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_counts: Option<UpCounts>,
    /// What the proxies say of its endpoints: at most 100 of them, those that are not up first.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointStatus>,
    /// How many proxies work with the current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxyCounts>,
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What all proxies together say of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// IP address and port.
    pub address: String,
    /// Up if it is up on every proxy, else what most of the others say: Down, Ejected, Draining or Disabled.
    pub state: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Failures that count at present, on all proxies together.
    #[serde(default)]
    pub fails: u32,
    /// Reason of the last failure, one of the short reasons of the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Of one that is Draining: requests that still run, on all proxies together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u32>,
    /// Proxies on which it is up.
    #[serde(default)]
    pub proxies_up: u32,
    /// Proxies that have it.
    #[serde(default)]
    pub proxies_total: u32,
}

/// What is said about a Plugin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Accepted, ResolvedRefs and Programmed.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The Pools that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<UsedBy>,
    /// How many proxies work with the current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxyCounts>,
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The Pools that name a Plugin, in their newest version or in the one in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedBy {
    /// How many there are.
    pub count: u32,
    /// The first ten of them, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
}
