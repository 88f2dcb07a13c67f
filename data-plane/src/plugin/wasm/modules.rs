//! The components of a delta, made ready before it is applied: reading, fetching and compiling take seconds, and
//! neither requests nor the control loop wait for them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::task::{JoinSet, spawn_blocking};
use weir_proto::convert::{self, Decoded};
use weir_proto::model::{Code, Invalid, Key, Plugin, Wasm};
use weir_proto::pb;

use super::engine::{self, Engine, WeakEngine};
use super::module::Module;
use super::source::{self, Bytes};
use super::stage::Settings;

/// Components that are ready, one of each content.
#[derive(Debug, Clone, Default)]
pub struct Modules(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Where code and downloads are kept.
    folder: Option<PathBuf>,
    /// Gone when the last component is.
    engine: Mutex<Option<WeakEngine>>,
    /// Those in use, by SHA-256.
    compiled: Mutex<HashMap<[u8; 32], Weak<Module>>>,
    /// What has become of those of the newest delta that has any.
    prepared: Mutex<Vec<Prepared>>,
}

#[derive(Debug)]
struct Prepared {
    wasm: Wasm,
    result: Result<Arc<Module>, Invalid>,
}

impl Modules {
    /// None is ready; code and downloads are kept below `folder`, if there is one.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner { folder, ..Inner::default() }))
    }

    /// Makes the components of these resources ready. What is wrong with one is said when it is asked for.
    pub async fn prepare(&self, resources: &[pb::Resource]) {
        let mut running: JoinSet<Prepared> = JoinSet::new();
        for plugin in resources.iter().filter_map(plugin) {
            if let Code::Wasm(wasm) = plugin.code.clone() {
                let modules = self.clone();
                running.spawn(async move { Prepared { result: modules.make(&wasm, plugin).await, wasm } });
            }
        }
        if !running.is_empty() {
            *self.0.prepared.lock() = running.join_all().await;
        }
    }

    /// A component that was prepared.
    ///
    /// # Errors
    /// Why it could not be; names the field.
    pub(super) fn prepared(&self, wasm: &Wasm) -> Result<Arc<Module>, Invalid> {
        let prepared = self.0.prepared.lock();
        match prepared.iter().find(|prepared| prepared.wasm == *wasm) {
            Some(prepared) => prepared.result.clone(),
            None => Err(Invalid::new("spec.wasm", "was not prepared")),
        }
    }

    async fn make(&self, wasm: &Wasm, plugin: Plugin) -> Result<Arc<Module>, Invalid> {
        let bytes = source::read(&wasm.source, self.0.folder.as_deref()).await.map_err(|e| e.under("spec.wasm"))?;
        let (modules, memory_limit) = (self.clone(), wasm.memory_limit);
        let made = spawn_blocking(move || modules.try_out(&bytes, &plugin, memory_limit)).await;
        made.unwrap_or_else(|e| Err(format!("compiling it failed: {e}"))).map_err(|e| Invalid::new("spec.wasm", e))
    }

    /// What cannot even be instantiated is refused, before a request needs it.
    fn try_out(&self, bytes: &Bytes, plugin: &Plugin, memory_limit: u64) -> Result<Arc<Module>, String> {
        let module = self.compile(bytes)?;
        let (name, epochs) = (plugin.name.to_string(), engine::epochs(plugin.timeout));
        let settings = Settings { name, param: "null".to_owned(), memory_limit, epochs };
        module.instantiate(None, &Arc::new(settings)).map_err(|e| format!("cannot be instantiated: {e}"))?;
        Ok(module)
    }

    fn compile(&self, bytes: &Bytes) -> Result<Arc<Module>, String> {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(module) = self.0.compiled.lock().get(&digest).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let module = Arc::new(Module::compile(&self.engine()?, bytes)?);
        let mut compiled = self.0.compiled.lock();
        compiled.retain(|_, module| module.strong_count() > 0);
        compiled.insert(digest, Arc::downgrade(&module));
        Ok(module)
    }

    fn engine(&self) -> Result<Engine, String> {
        let mut known = self.0.engine.lock();
        if let Some(engine) = known.as_ref().and_then(WeakEngine::upgrade) {
            return Ok(engine);
        }
        let engine = Engine::new(self.0.folder.as_deref())?;
        *known = Some(engine.weak());
        Ok(engine)
    }
}

/// The Plugin that a resource is. What is wrong with one that cannot be read is said when it is applied.
fn plugin(resource: &pb::Resource) -> Option<Plugin> {
    let pb::Resource { key, version: _, body } = resource;
    let is_plugin = matches!(body, Some(pb::resource::Body::Plugin(_)));
    let key = key.clone().filter(|_| is_plugin).and_then(|key| Key::try_from(key).ok())?;
    match convert::decode(&key, body.clone()?) {
        Ok(Decoded::Plugin(plugin)) => Some(*plugin),
        _ => None,
    }
}
