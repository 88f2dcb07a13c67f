//! `pb::Plugin` and `model::Plugin`, and the use of one in a Pool.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::{required, unknown};
use crate::model::units::millis;
use crate::model::{
    Code, FailurePolicy, Files, Invalid, Lua, Plugin, PluginRef, PluginUse, ResourceName, Wasm, WasmInstance,
    WasmSource,
};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Plugin) -> Result<Plugin, Invalid> {
    let pb::Plugin { code, failure_policy, timeout_ms } = msg;
    Ok(Plugin {
        name,
        code: decode_code(required("type", code)?)?,
        failure_policy: match pb::FailurePolicy::try_from(failure_policy) {
            Ok(pb::FailurePolicy::Closed) => FailurePolicy::Closed,
            Ok(pb::FailurePolicy::Open) => FailurePolicy::Open,
            _ => return Err(unknown("failurePolicy", failure_policy)),
        },
        timeout: Duration::from_millis(timeout_ms),
    })
}

fn decode_code(code: pb::plugin::Code) -> Result<Code, Invalid> {
    Ok(match code {
        pb::plugin::Code::BuiltIn(name) => Code::BuiltIn(name.parse().map_err(|e: String| Invalid::new("type", e))?),
        pb::plugin::Code::Lua(pb::Lua { source, memory_limit }) => Code::Lua(Lua { source, memory_limit }),
        pb::plugin::Code::Wasm(wasm) => Code::Wasm(decode_wasm(wasm).map_err(|e| e.under("wasm"))?),
    })
}

fn decode_wasm(msg: pb::Wasm) -> Result<Wasm, Invalid> {
    let pb::Wasm { source, memory_limit, instance } = msg;
    let source = match required("source", source)? {
        pb::wasm::Source::Inline(bytes) => WasmSource::Inline(bytes),
        pb::wasm::Source::File(path) => WasmSource::File(path),
        pb::wasm::Source::Url(pb::WasmUrl { url, sha256 }) => {
            let sha256 = sha256.try_into().map_err(|_| Invalid::new("sha256", "must be 32 bytes"))?;
            WasmSource::Url { url, sha256 }
        }
    };
    let instance = match pb::WasmInstance::try_from(instance) {
        Ok(pb::WasmInstance::Shared) => WasmInstance::Shared,
        Ok(pb::WasmInstance::PerRequest) => WasmInstance::PerRequest,
        _ => return Err(unknown("instance", instance)),
    };
    Ok(Wasm { source, memory_limit, instance })
}

pub(super) fn encode(plugin: &Plugin) -> pb::Plugin {
    let Plugin { name: _, code, failure_policy, timeout } = plugin;
    let code = match code {
        Code::BuiltIn(built_in) => pb::plugin::Code::BuiltIn(built_in.to_string()),
        Code::Lua(Lua { source, memory_limit }) => {
            pb::plugin::Code::Lua(pb::Lua { source: source.clone(), memory_limit: *memory_limit })
        }
        Code::Wasm(wasm) => pb::plugin::Code::Wasm(encode_wasm(wasm)),
    };
    let failure_policy = match failure_policy {
        FailurePolicy::Closed => pb::FailurePolicy::Closed,
        FailurePolicy::Open => pb::FailurePolicy::Open,
    };
    pb::Plugin { code: Some(code), failure_policy: failure_policy.into(), timeout_ms: millis(*timeout) }
}

fn encode_wasm(wasm: &Wasm) -> pb::Wasm {
    let Wasm { source, memory_limit, instance } = wasm;
    let source = match source {
        WasmSource::Inline(bytes) => pb::wasm::Source::Inline(bytes.clone()),
        WasmSource::File(path) => pb::wasm::Source::File(path.clone()),
        WasmSource::Url { url, sha256 } => {
            pb::wasm::Source::Url(pb::WasmUrl { url: url.clone(), sha256: sha256.to_vec() })
        }
    };
    let instance = match instance {
        WasmInstance::Shared => pb::WasmInstance::Shared,
        WasmInstance::PerRequest => pb::WasmInstance::PerRequest,
    };
    pb::Wasm { source: Some(source), memory_limit: *memory_limit, instance: instance.into() }
}

/// A use in a Pool of this name.
pub(super) fn decode_use(pool: &ResourceName, msg: pb::PluginUse) -> Result<PluginUse, Invalid> {
    let pb::PluginUse { plugin, param, files } = msg;
    let plugin = match required("name", plugin)? {
        pb::plugin_use::Plugin::Name(name) => {
            PluginRef::Named(pool.sibling(&name).map_err(|e| Invalid::new("name", e))?)
        }
        pb::plugin_use::Plugin::Type(name) => {
            PluginRef::InPlace(name.parse().map_err(|e: String| Invalid::new("type", e))?)
        }
    };
    let param = decode_json(&param, Value::Null).map_err(|e| Invalid::new("param", e))?;
    Ok(PluginUse { plugin, param, files: Files(files) })
}

pub(super) fn encode_use(plugin_use: &PluginUse) -> pb::PluginUse {
    let PluginUse { plugin, param, files } = plugin_use;
    let plugin = match plugin {
        PluginRef::Named(name) => pb::plugin_use::Plugin::Name(name.name().to_owned()),
        PluginRef::InPlace(built_in) => pb::plugin_use::Plugin::Type(built_in.to_string()),
    };
    let param = if param.is_null() { String::new() } else { param.to_string() };
    pb::PluginUse { plugin: Some(plugin), param, files: files.0.clone() }
}

/// A JSON text; the empty one stands for `nothing`.
pub(super) fn decode_json(text: &str, nothing: Value) -> Result<Value, String> {
    if text.is_empty() { Ok(nothing) } else { serde_json::from_str(text).map_err(|e| e.to_string()) }
}

/// Without what is in Secrets and ConfigMaps.
impl fmt::Debug for pb::PluginUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, param, files } = self;
        let files: Vec<&String> = files.keys().collect();
        f.debug_struct("PluginUse").field("plugin", plugin).field("param", param).field("files", &files).finish()
    }
}

impl fmt::Debug for pb::plugin_use::Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.debug_tuple("Name").field(name).finish(),
            Self::Type(name) => f.debug_tuple("Type").field(name).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_secret_is_never_shown() {
        let files = [("secret/users/auth".to_owned(), b"hunter2".to_vec())].into();
        let message = pb::Pool { plugins: vec![pb::PluginUse { files, ..Default::default() }], ..Default::default() };
        let shown = format!("{message:?}");
        assert!(shown.contains("secret/users/auth"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    }
}
