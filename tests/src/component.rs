//! A proxy whose only Pool uses a component.

use std::path::{Path, PathBuf};

use weir_proto::pb::{self, FailurePolicy, WasmInstance};

use crate::metrics::samples;
use crate::scripted::{Session, backend, plugin, plugin_use, pool};
use crate::{Backend, DataPlane, Response, Scripted, get};

/// A control plane played by the test, a proxy of one worker, and three servers behind it.
#[derive(Debug)]
pub struct Stand {
    /// The servers of the Pool `web`.
    pub servers: [Backend; 3],
    /// Where the proxy gets its resources.
    pub control: Scripted,
    /// The proxy's stream.
    pub session: Session,
    /// The proxy.
    pub proxy: DataPlane,
}

impl Stand {
    /// The Pool `web` uses the Plugin `code` with this parameter.
    ///
    /// # Panics
    /// If the proxy refuses any of it.
    pub async fn start(code: pb::Plugin, param: &str) -> Self {
        let servers = Backend::start_many("web").await;
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).workers(1).start_unready();
        let (session, _) = control.accept().await;
        let mut stand = Self { servers, control, session, proxy };
        let mut resources = vec![plugin("code", code)];
        resources.extend(stand.pool(param));
        assert_eq!(stand.session.deliver(resources).await, []);
        stand
    }

    /// The Pool and its Backends.
    pub fn pool(&self, param: &str) -> Vec<pb::Resource> {
        let uses = pool("web", |pool| pool.plugins = vec![plugin_use("code", param)]);
        let servers = self.servers.iter().zip(["web-1", "web-2", "web-3"]);
        servers.map(|(server, name)| backend(name, "web", server.address())).chain([uses]).collect()
    }

    /// The answer to a GET.
    ///
    /// # Panics
    /// If there is none.
    pub async fn get(&self, path: &str) -> Response {
        get(self.proxy.address(), path).await.expect("an answer")
    }

    /// How often the plugin failed for this reason.
    ///
    /// # Panics
    /// If the proxy gives no figures.
    pub async fn failures(&self, reason: &str) -> f64 {
        let metrics = get(self.proxy.admin(), "/metrics").await.expect("figures").text();
        let reason = format!("reason=\"{reason}\"");
        let samples = samples(&metrics, "weir_plugin_failures_total");
        samples.into_iter().find(|(labels, _)| labels.contains(&reason)).map_or(0.0, |(_, value)| value)
    }
}

/// A component of `tests/testdata/plugins`, compiled from its text.
///
/// # Panics
/// If there is none of this name.
pub fn fixture(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/plugins").join(name).with_extension("wat");
    wat::parse_file(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// A Plugin of these bytes.
pub fn inline(bytes: Vec<u8>) -> pb::Plugin {
    of(pb::wasm::Source::Inline(bytes))
}

/// A Plugin of this file.
pub fn file(path: PathBuf) -> pb::Plugin {
    of(pb::wasm::Source::File(path.to_string_lossy().into_owned()))
}

/// A Plugin of what is behind this URL.
pub fn url(url: String, sha256: [u8; 32]) -> pb::Plugin {
    of(pb::wasm::Source::Url(pb::WasmUrl { url, sha256: sha256.to_vec() }))
}

fn of(source: pb::wasm::Source) -> pb::Plugin {
    let instance = WasmInstance::Shared.into();
    let wasm = pb::Wasm { source: Some(source), memory_limit: 64 << 20, instance };
    pb::Plugin {
        code: Some(pb::plugin::Code::Wasm(wasm)),
        failure_policy: FailurePolicy::Closed.into(),
        timeout_ms: 50,
    }
}

/// The same Plugin after `change` of its component.
pub fn with(plugin: pb::Plugin, change: impl FnOnce(&mut pb::Wasm)) -> pb::Plugin {
    let mut plugin = plugin;
    if let Some(pb::plugin::Code::Wasm(wasm)) = &mut plugin.code {
        change(wasm);
    }
    plugin
}
