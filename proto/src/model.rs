//! Validated domain types. A value of these types is right by construction: whatever could be wrong
//! with it was refused when it was made.
//!
//! Nothing here does I/O or knows the wire; `convert` translates to and from messages.

pub mod address;
pub mod authorities;
pub mod backend;
pub mod backend_tls;
pub mod balance;
pub mod certificate;
pub mod endpoints;
pub mod fastcgi;
pub mod grpc;
pub mod health;
pub mod matcher;
pub mod name;
pub mod pattern;
pub mod plugin;
pub mod pool;
pub mod protocol;
pub mod tls;
pub mod units;

pub use address::{Address, EndpointAddress, UnixName};
pub use authorities::Authorities;
pub use backend::{Backend, Protocol, Role};
pub use backend_tls::{BackendTls, TlsVersion, Trust};
pub use balance::{Balance, HashKey};
pub use certificate::{BadCertificate, Certificate};
pub use endpoints::{Endpoints, ServiceEndpoint};
pub use fastcgi::FastCgi;
pub use grpc::GrpcStatus;
pub use health::{ActiveHealth, GrpcProbe, Health, HealthMode, HttpProbe, PassiveHealth, Probe};
pub use matcher::{HostPattern, PathMatch, Rule, ValueMatch, ValueTest};
pub use name::{BadName, Key, Kind, ResourceName};
pub use pattern::Pattern;
pub use plugin::{
    BuiltIn, Code, FailurePolicy, Files, Lua, Param, Plugin, PluginRef, PluginUse, Reference, Wasm, WasmInstance,
    WasmSource,
};
pub use pool::{ClientAbort, Keepalive, Pool, Queue, Retry, RetryOn, StatusMask, Timeouts};
pub use protocol::{PoolProtocol, ProxyProtocol};
pub use tls::{ClientCa, Tls};

/// A field whose value is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field as users write it, below the resource: `spec.match[0].path.value`.
    pub field: String,
    /// What is wrong with the value, for people.
    pub reason: String,
}

impl Invalid {
    /// Refuses `field` for `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same refusal seen from one level above: `a` under `spec` is `spec.a`.
    #[must_use]
    pub fn under(self, parent: impl AsRef<str>) -> Self {
        let parent = parent.as_ref();
        let joint = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        Self { field: format!("{parent}{joint}{}", self.field), reason: self.reason }
    }
}
