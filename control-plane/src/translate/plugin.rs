//! Plugins and their uses in Pools. A use is made complete: its parameter has that of the Plugin merged in, and what
//! the parameter names comes with it.

use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::Value;
use weir_proto::model::plugin::param::references;
use weir_proto::model::units::{millis, parse_duration, parse_size};
use weir_proto::model::{BuiltIn, Files, Invalid, Key, Param, Reference};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::checked;
use crate::api::PluginSpec;
use crate::api::plugin::{ConfigMapKey, FailurePolicy, LuaSpec, WasmInstance, WasmSpec};
use crate::api::plugin_type::{BuiltInType, PluginType};
use crate::api::pool::PluginUse;
use crate::contents::ContentKind;

/// One page of WebAssembly: with less memory, nothing runs.
const LEAST_MEMORY: u64 = 64 << 10;

/// A Secret or `ConfigMap` that a resource names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Which kind.
    pub kind: ContentKind,
    /// Of the same namespace.
    pub name: String,
    /// A key that it must have.
    pub key: Option<String>,
    /// Where it is named.
    pub field: String,
}

/// What a Plugin names.
#[must_use]
pub fn plugin_wants(spec: &PluginSpec) -> Vec<Want> {
    match spec.kind {
        PluginType::BuiltIn(built_in) => {
            spec.param.iter().flat_map(|p| param_wants(built_in, p, "spec.param")).collect()
        }
        PluginType::Lua => of_key(spec.lua.as_ref().and_then(|lua| lua.config_map.as_ref()), "spec.lua.configMap"),
        PluginType::Wasm => of_key(spec.wasm.as_ref().and_then(|wasm| wasm.config_map.as_ref()), "spec.wasm.configMap"),
    }
}

fn of_key(named: Option<&ConfigMapKey>, field: &'static str) -> Vec<Want> {
    let want = |ConfigMapKey { name, key }: &ConfigMapKey| Want {
        kind: ContentKind::ConfigMap,
        name: name.clone(),
        key: Some(key.clone()),
        field: field.to_owned(),
    };
    named.map(want).into_iter().collect()
}

/// What the use of a plugin names; `plugin` is the Plugin, if it is not in place.
#[must_use]
pub fn use_wants(plugin: Option<&PluginSpec>, own: &PluginUse) -> Vec<Want> {
    match built_in(plugin, own) {
        Some(built_in) => param_wants(built_in, &param(plugin, own), "param"),
        None => Vec::new(),
    }
}

fn param_wants(built_in: BuiltIn, param: &Value, field: &str) -> Vec<Want> {
    let want = |(reference, own)| {
        let (kind, name) = match reference {
            Reference::Secret(name) => (ContentKind::Secret, name),
            Reference::ConfigMap(name) => (ContentKind::ConfigMap, name),
            Reference::Pool(_) => return None,
        };
        Some(Want { kind, name, key: None, field: format!("{field}.{own}") })
    };
    references(built_in, param).into_iter().filter_map(want).collect()
}

/// The Pools that the parameter of a Plugin names, in the field `spec.param.pool`.
#[must_use]
pub fn plugin_pools(spec: &PluginSpec) -> Vec<String> {
    match spec.kind {
        PluginType::BuiltIn(built_in) => spec.param.iter().flat_map(|param| param_pools(built_in, param)).collect(),
        PluginType::Lua | PluginType::Wasm => Vec::new(),
    }
}

/// The Pools that the parameter of a use names, in its field `param.pool`.
#[must_use]
pub fn use_pools(plugin: Option<&PluginSpec>, own: &PluginUse) -> Vec<String> {
    built_in(plugin, own).map(|built_in| param_pools(built_in, &param(plugin, own))).unwrap_or_default()
}

fn param_pools(built_in: BuiltIn, param: &Value) -> Vec<String> {
    let pool = |(reference, _)| match reference {
        Reference::Pool(name) => Some(name),
        Reference::Secret(_) | Reference::ConfigMap(_) => None,
    };
    references(built_in, param).into_iter().filter_map(pool).collect()
}

/// The metric that a use counts, if it is of that type.
#[must_use]
pub fn metric(plugin: Option<&PluginSpec>, own: &PluginUse) -> Option<String> {
    built_in(plugin, own).filter(|built_in| *built_in == BuiltIn::Metrics)?;
    param(plugin, own).get("name").and_then(Value::as_str).map(ToOwned::to_owned)
}

/// The message of a Plugin, with the contents that it names.
///
/// # Errors
/// Names the field that is wrong.
pub fn plugin(key: &Key, spec: &PluginSpec, files: &Files) -> Result<Body, Invalid> {
    let message = message(spec, files).map_err(|e| e.under("spec"))?;
    checked(key, Body::Plugin(message))
}

fn message(spec: &PluginSpec, files: &Files) -> Result<pb::Plugin, Invalid> {
    let PluginSpec { kind, param, failure_policy, timeout, lua, wasm } = spec;
    let code = match kind {
        PluginType::BuiltIn(built_in) => {
            // Without one, each Pool has to give its own.
            if let Some(param) = param {
                Param::parse(*built_in, param, files).map_err(|e| e.under("param"))?;
            }
            pb::plugin::Code::BuiltIn(built_in.to_string())
        }
        PluginType::Lua => {
            let lua = lua.as_ref().ok_or_else(|| missing("lua"))?;
            pb::plugin::Code::Lua(lua_message(lua, files).map_err(|e| e.under("lua"))?)
        }
        PluginType::Wasm => {
            let wasm = wasm.as_ref().ok_or_else(|| missing("wasm"))?;
            pb::plugin::Code::Wasm(wasm_message(wasm, files).map_err(|e| e.under("wasm"))?)
        }
    };
    let failure_policy = match failure_policy {
        FailurePolicy::Closed => pb::FailurePolicy::Closed,
        FailurePolicy::Open => pb::FailurePolicy::Open,
    };
    Ok(pb::Plugin { code: Some(code), failure_policy: failure_policy.into(), timeout_ms: timeout_ms(timeout)? })
}

fn missing(field: &str) -> Invalid {
    Invalid::new(field, "is missing")
}

fn timeout_ms(text: &str) -> Result<u64, Invalid> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err(Invalid::new("timeout", "must be > 0: a call without end would hold up its request")),
        Ok(timeout) => Ok(millis(timeout)),
        Err(e) => Err(Invalid::new("timeout", e)),
    }
}

fn memory(text: &str) -> Result<u64, Invalid> {
    match parse_size(text) {
        Ok(bytes) if bytes < LEAST_MEMORY => Err(Invalid::new("memoryLimit", "must be at least 64Ki")),
        Ok(bytes) => Ok(bytes),
        Err(e) => Err(Invalid::new("memoryLimit", e)),
    }
}

fn lua_message(lua: &LuaSpec, files: &Files) -> Result<pb::Lua, Invalid> {
    let LuaSpec { source, config_map, memory_limit } = lua;
    let source = match (source, config_map) {
        (Some(source), _) => source.clone(),
        (None, Some(named)) => {
            let bytes = content(named, files)?.clone();
            String::from_utf8(bytes).map_err(|_| Invalid::new("configMap.key", "does not hold UTF-8 text"))?
        }
        (None, None) => return Err(missing("source")),
    };
    Ok(pb::Lua { source, memory_limit: memory(memory_limit)? })
}

fn wasm_message(wasm: &WasmSpec, files: &Files) -> Result<pb::Wasm, Invalid> {
    let memory_limit = memory(&wasm.memory_limit)?;
    let instance = match wasm.instance {
        WasmInstance::Shared => pb::WasmInstance::Shared,
        WasmInstance::PerRequest => pb::WasmInstance::PerRequest,
    };
    Ok(pb::Wasm { source: Some(wasm_source(wasm, files)?), memory_limit, instance: instance.into() })
}

fn wasm_source(wasm: &WasmSpec, files: &Files) -> Result<pb::wasm::Source, Invalid> {
    let WasmSpec { config_map, url, sha256, file, inline, memory_limit: _, instance: _ } = wasm;
    if let Some(named) = config_map {
        return Ok(pb::wasm::Source::Inline(content(named, files)?.clone()));
    }
    if let Some(text) = inline {
        let decoded = serde_json::from_value::<ByteString>(Value::String(text.clone()));
        let ByteString(bytes) = decoded.map_err(|_| Invalid::new("inline", "is not base64"))?;
        return Ok(pb::wasm::Source::Inline(bytes));
    }
    if let Some(path) = file {
        return Ok(pb::wasm::Source::File(path.clone()));
    }
    let url = url.clone().ok_or_else(|| missing("url"))?;
    let sha256 = sha256
        .as_deref()
        .and_then(hexadecimal)
        .ok_or_else(|| Invalid::new("sha256", "must be 64 hexadecimal digits"))?;
    Ok(pb::wasm::Source::Url(pb::WasmUrl { url, sha256 }))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    digits?.chunks(2).map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()).collect()
}

/// The caller has made sure that the key is there.
fn content<'a>(named: &ConfigMapKey, files: &'a Files) -> Result<&'a Vec<u8>, Invalid> {
    let ConfigMapKey { name, key } = named;
    let found = files.0.get(&format!("{}/{name}/{key}", ContentKind::ConfigMap.prefix()));
    found.ok_or_else(|| Invalid::new("configMap.key", "is missing"))
}

/// The use of a plugin in a Pool, with the contents that it names.
///
/// # Errors
/// Names the field of the use that is wrong.
pub fn plugin_use(plugin: Option<&PluginSpec>, own: &PluginUse, files: Files) -> Result<pb::PluginUse, Invalid> {
    let param = param(plugin, own);
    if let Some(built_in) = built_in(plugin, own) {
        Param::parse(built_in, &param, &files).map_err(|e| e.under("param"))?;
    }
    let named = match (&own.name, own.kind) {
        (Some(name), _) => pb::plugin_use::Plugin::Name(name.clone()),
        (None, Some(BuiltInType(built_in))) => pb::plugin_use::Plugin::Type(built_in.to_string()),
        (None, None) => return Err(missing("name")),
    };
    let param = if param.is_null() { String::new() } else { param.to_string() };
    Ok(pb::PluginUse { plugin: Some(named), param, files: files.0 })
}

/// The type that comes with Weir, if it is one.
fn built_in(plugin: Option<&PluginSpec>, own: &PluginUse) -> Option<BuiltIn> {
    match (plugin.map(|plugin| plugin.kind), own.kind) {
        (Some(PluginType::BuiltIn(built_in)), _) | (None, Some(BuiltInType(built_in))) => Some(built_in),
        (Some(PluginType::Lua | PluginType::Wasm), _) | (None, None) => None,
    }
}

/// The parameter of a use: that of the Plugin, with what the Pool says merged in.
fn param(plugin: Option<&PluginSpec>, own: &PluginUse) -> Value {
    let base = plugin.and_then(|plugin| plugin.param.as_ref());
    match (base, &own.param) {
        (Some(base @ Value::Object(_)), Some(patch @ Value::Object(_))) => {
            let mut merged = base.clone();
            merge(&mut merged, patch);
            merged
        }
        (base, own) => own.as_ref().or(base).cloned().unwrap_or_default(),
    }
}

/// A JSON merge patch, RFC 7386.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        value.clone_from(patch);
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = value else { return };
    for (name, patch) in patch {
        match patch {
            Value::Null => drop(fields.remove(name)),
            patch => merge(fields.entry(name).or_insert(Value::Null), patch),
        }
    }
}
