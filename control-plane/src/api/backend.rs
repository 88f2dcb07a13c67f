//! The kind Backend.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]
#![expect(clippy::duplicated_attributes, reason = "printer columns of equal type are no duplicates")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::BackendStatus;

/// One destination of a Pool.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Backend",
    plural = "backends",
    shortname = "be",
    category = "weir",
    namespaced,
    status = "BackendStatus",
    derive = "PartialEq",
    doc = "One destination of a Pool.",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".spec.weight"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Endpoints", type_ = "string", json_path = ".status.endpointCounts.summary", priority = 1),
    printcolumn(name = "Proxies", type_ = "string", json_path = ".status.proxies.summary", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.status=='False')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.address) || has(self.service)").message("one of address and service must be there"),
    validation = Rule::new("!has(self.address) || !has(self.service)").field_path(".service").message("does not go with address: write one of them")
)]
pub struct BackendSpec {
    /// The Pool it belongs to, of the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub pool: String,
    /// Where it listens: host:port, [v6]:port, name:port, unix:/path or unix:@name (Linux's abstract namespace). Each
    /// address that a name resolves to is an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new("self.contains(':')").message("must be host:port, [v6]:port, name:port, unix:/path or unix:@name"))]
    pub address: Option<String>,
    /// Instead of an address: a Service of the same namespace, whose ready endpoints it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// Share among the Pool's endpoints; 0 = no new traffic.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u32,
    /// For plugins that go by scores.
    #[serde(default)]
    pub score: i64,
    /// False = taken out by hand: no timer and no health check clears it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Free labels, such as `zone: a`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// In a Pool of protocol TCP: each connection begins with the client's address, in this version of the PROXY
    /// protocol. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Versions of the PROXY protocol: V1: a line of text; V2: binary.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A port of a Service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name or number of one of its ports, such as http or 80.
    #[x_kube(validation = Rule::new("string(self).matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')").message("must be the name or the number of a port"))]
    pub port: IntOrString,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
