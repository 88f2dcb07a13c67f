//! The kind Plugin.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]
#![expect(clippy::duplicated_attributes, reason = "printer columns of equal type are no duplicates")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plugin_type::PluginType;
use super::schema::{any, duration, size};
use super::status::PluginStatus;

/// Code that decides at the points of a request, for the Pools that name it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Plugin",
    plural = "plugins",
    shortname = "plug",
    category = "weir",
    namespaced,
    status = "PluginStatus",
    derive = "PartialEq",
    doc = "Code that decides at the points of a request, for the Pools that name it.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Used-By", type_ = "integer", json_path = ".status.usedBy.count"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
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
    validation = Rule::new("self.type != 'Lua' || has(self.lua)").field_path(".lua").message("is needed with type Lua"),
    validation = Rule::new("self.type == 'Lua' || !has(self.lua)").field_path(".lua").message("goes with type Lua only"),
    validation = Rule::new("self.type != 'Wasm' || has(self.wasm)").field_path(".wasm").message("is needed with type Wasm"),
    validation = Rule::new("self.type == 'Wasm' || !has(self.wasm)").field_path(".wasm").message("goes with type Wasm only")
)]
pub struct PluginSpec {
    /// A type that comes with Weir, or Lua, or Wasm.
    #[serde(rename = "type")]
    pub kind: PluginType,
    /// The parameter, of any shape; a type that comes with Weir has its own. A Pool that names the Plugin may
    /// override it, in whole or, where both are mappings, field by field. Left out: each Pool gives its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any")]
    pub param: Option<Value>,
    /// What becomes of a request when a call fails or takes too long. Closed: it is answered 500. Open: it
    /// goes on as if the Plugin were not there.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Time that one call may take.
    #[serde(default = "timeout")]
    #[schemars(schema_with = "duration")]
    pub timeout: String,
    /// With type Lua: the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lua: Option<LuaSpec>,
    /// With type Wasm: the WebAssembly component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<WasmSpec>,
}

/// What becomes of a request when a plugin fails.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It is answered 500.
    #[default]
    Closed,
    /// It goes on.
    Open,
}

/// A Lua script.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.source) || has(self.configMap)").message("one of source and configMap must be there"),
    validation = Rule::new("!has(self.source) || !has(self.configMap)").field_path(".configMap").message("does not go with source: write one of them")
)]
pub struct LuaSpec {
    /// The text of the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1048576))]
    pub source: Option<String>,
    /// Instead of source: where the text is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// Most memory that the script may take on each worker of a proxy.
    #[serde(default = "lua_memory")]
    #[schemars(schema_with = "size")]
    pub memory_limit: String,
}

/// A WebAssembly component.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.configMap), has(self.url), has(self.file), has(self.inline)].filter(x, x).size() == 1").message("exactly one of configMap, url, file and inline must be there"),
    validation = Rule::new("!has(self.url) || has(self.sha256)").field_path(".sha256").message("is needed with url"),
    validation = Rule::new("has(self.url) || !has(self.sha256)").field_path(".sha256").message("goes with url only")
)]
pub struct WasmSpec {
    /// Where the component is, as binary data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// Where each proxy fetches the component, which may be larger than a `ConfigMap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://.')").message("must begin with http:// or https://"))]
    pub url: Option<String>,
    /// With url: the SHA-256 of the component, in hexadecimal digits. Anything else is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F]{64}$')").message("must be 64 hexadecimal digits"))]
    pub sha256: Option<String>,
    /// A file on each proxy, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("must be an absolute path"))]
    pub file: Option<String>,
    /// The component itself, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1500000))]
    pub inline: Option<String>,
    /// Most memory that an instance may take.
    #[serde(default = "wasm_memory")]
    #[schemars(schema_with = "size")]
    pub memory_limit: String,
    /// Who shares an instance. Shared: all requests of a worker of a proxy, so that it keeps its state.
    /// `PerRequest`: each request has its own.
    #[serde(default)]
    pub instance: WasmInstance,
}

/// Who shares an instance of a component.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WasmInstance {
    /// All requests of a worker.
    #[default]
    Shared,
    /// Nobody.
    PerRequest,
}

/// A key of a `ConfigMap` of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKey {
    /// Name of the `ConfigMap`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data or binaryData.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn timeout() -> String {
    "50ms".into()
}

fn lua_memory() -> String {
    "8Mi".into()
}

fn wasm_memory() -> String {
    "64Mi".into()
}
