//! The kind Backend.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]
#![expect(clippy::duplicated_attributes, reason = "printer columns of equal type are no duplicates")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backend_tls::BackendTlsSpec;
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
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
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
    validation = Rule::new("!has(self.address) || !has(self.service)").field_path(".service").message("does not go with address: write one of them"),
    validation = Rule::new("!has(self.fastcgi) || (has(self.protocol) && self.protocol == 'FastCGI')").field_path(".fastcgi").message("goes with protocol FastCGI only"),
    validation = Rule::new("!has(self.tls) || !has(self.protocol) || self.protocol != 'FastCGI'").field_path(".tls").message("does not go with protocol FastCGI")
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
    /// What it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// How a FastCGI application finds the script of a request. Default: it goes by the path alone and knows no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fastcgi: Option<FastCgiSpec>,
    /// Share among the Pool's endpoints; 0 = no new traffic.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u32,
    /// For plugins that go by scores.
    #[serde(default)]
    pub score: i64,
    /// When it is asked. Active: first; Standby: when no active one could take the request, as it is down or full;
    /// Backup: when every active and standby one is down or disabled, never because they are full.
    #[serde(default)]
    pub role: BackendRole,
    /// Most requests in flight to one of its endpoints from one proxy; 0 = unlimited. Who comes then waits in the queue of
    /// the Pool.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub capacity: u32,
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
    /// Its endpoints are spoken to within TLS. Default: without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTlsSpec>,
}

/// Versions of the PROXY protocol: V1: a line of text; V2: binary.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// When a backend is asked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendRole {
    /// First.
    #[default]
    Active,
    /// When no active one could take the request, as it is down or full.
    Standby,
    /// When every active and standby one is down or disabled, never because they are full.
    Backup,
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

/// What a Backend speaks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP/2: with prior knowledge (h2c), within TLS by ALPN.
    H2,
    /// FastCGI, as an application in the role of a responder, such as php-fpm.
    #[serde(rename = "FastCGI")]
    FastCgi,
}

/// How a FastCGI application finds the script of a request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.index) || !has(self.scriptFilename) || self.scriptFilename == ''").field_path(".index").message("does not go with scriptFilename"),
    validation = Rule::new("!has(self.index) || has(self.documentRoot)").field_path(".index").message("is of no use without documentRoot")
)]
pub struct FastCgiSpec {
    /// Folder of the scripts, as the application sees it. A request runs the script of its path below it; what
    /// follows the first segment with the index's extension is PATH_INFO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("must be an absolute path"))]
    pub document_root: Option<String>,
    /// Script of a path that ends with a slash. Default: index.php.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("!self.contains('/')").message("must be a file name"))]
    pub index: Option<String>,
    /// Script of every request, as the application sees it; the request's path is PATH_INFO. Empty: the script of the
    /// path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self == '' || self.startsWith('/')").message("must be an absolute path"))]
    pub script_filename: Option<String>,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
