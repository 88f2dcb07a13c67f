//! In place of [`super::wasm`] in a build without it: the same interface, and every component is refused.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use weir_proto::model::{Invalid, Plugin, Wasm};
use weir_proto::pb;

use super::Stage;

/// No components.
#[derive(Debug, Clone, Default)]
pub struct Modules;

/// There is none.
#[derive(Debug, Clone)]
pub enum Program {}

impl Modules {
    /// Needs no folder.
    #[must_use]
    pub fn new(_: Option<PathBuf>) -> Self {
        Self
    }

    /// Nothing can be prepared.
    pub async fn prepare(&self, _: &[pb::Resource]) {}
}

impl Program {
    /// Refuses every component.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: &Plugin, _: &Wasm, _: &Modules) -> Result<Self, Invalid> {
        Err(Invalid::new("spec.type", "this build has no WebAssembly: it was made without the feature `wasm`"))
    }

    /// There is none.
    #[must_use]
    pub fn stage(&self, _: &Value) -> Arc<dyn Stage> {
        match *self {}
    }
}
