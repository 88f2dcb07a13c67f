//! Plugins: code that decides at the points of a request, and its use in a Pool.

mod builtin;
pub mod header;
pub mod param;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::ResourceName;

pub use builtin::BuiltIn;
pub use param::{Param, Reference};

/// A Plugin, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// `namespace/name`.
    pub name: ResourceName,
    /// What runs.
    pub code: Code,
    /// What becomes of a request whose call fails.
    pub failure_policy: FailurePolicy,
    /// Time that one call may take.
    pub timeout: Duration,
}

/// What a plugin is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A type that comes with Weir.
    BuiltIn(BuiltIn),
    /// A script.
    Lua(Lua),
    /// A component.
    Wasm(Wasm),
}

/// A Lua script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lua {
    /// Its text.
    pub source: String,
    /// Most bytes that one of its states may take.
    pub memory_limit: u64,
}

/// A WebAssembly component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasm {
    /// Where its bytes are.
    pub source: WasmSource,
    /// Most bytes that the memory of an instance may take.
    pub memory_limit: u64,
    /// Who shares an instance.
    pub instance: WasmInstance,
}

/// Where the bytes of a component are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmSource {
    /// Here.
    Inline(Vec<u8>),
    /// In a file of the proxy.
    File(String),
    /// Behind a URL.
    Url {
        /// Where.
        url: String,
        /// Of the content.
        sha256: [u8; 32],
    },
}

/// Who shares an instance of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WasmInstance {
    /// All requests of a worker.
    #[default]
    Shared,
    /// Nobody: each request has its own.
    PerRequest,
}

/// What becomes of a request when a plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// It is answered 500.
    #[default]
    Closed,
    /// It goes on as if the plugin were not there.
    Open,
}

/// A plugin of a Pool, with its parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUse {
    /// Which one.
    pub plugin: PluginRef,
    /// The parameter, of any shape.
    pub param: Value,
    /// What the parameter refers to.
    pub files: Files,
}

/// Which plugin a Pool uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginRef {
    /// A Plugin of the Pool's namespace.
    Named(ResourceName),
    /// A built-in type, in place.
    InPlace(BuiltIn),
}

/// Contents of Secrets and ConfigMaps, by `secret/NAME/KEY` and `configmap/NAME/KEY`. Never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Plugin {
    /// Time that a call may take if nobody says otherwise.
    pub const TIMEOUT: Duration = Duration::from_millis(50);
}

impl Lua {
    /// Memory limit if nobody says otherwise.
    pub const MEMORY_LIMIT: u64 = 8 << 20;
}

impl Wasm {
    /// Memory limit if nobody says otherwise.
    pub const MEMORY_LIMIT: u64 = 64 << 20;
}
