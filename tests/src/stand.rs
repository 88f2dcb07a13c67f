//! A proxy whose only Pool uses plugins.

use weir_proto::pb::{self, FailurePolicy};

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
        let mut stand = Self::empty().await;
        let mut resources = vec![plugin("code", code)];
        resources.extend(stand.pool(param));
        assert_eq!(stand.session.deliver(resources).await, []);
        stand
    }

    /// A proxy without resources, but for the servers.
    pub async fn empty() -> Self {
        let servers = Backend::start_many("web").await;
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).workers(1).start_unready();
        let (session, _) = control.accept().await;
        Self { servers, control, session, proxy }
    }

    /// The Pool and its Backends.
    pub fn pool(&self, param: &str) -> Vec<pb::Resource> {
        self.pool_with(|pool| pool.plugins = vec![plugin_use("code", param)])
    }

    /// The Pool after `change`, and its Backends.
    pub fn pool_with(&self, change: impl FnOnce(&mut pb::Pool)) -> Vec<pb::Resource> {
        let servers = self.servers.iter().zip(["web-1", "web-2", "web-3"]);
        servers.map(|(server, name)| backend(name, "web", server.address())).chain([pool("web", change)]).collect()
    }

    /// The answer to a GET.
    ///
    /// # Panics
    /// If there is none.
    pub async fn get(&self, path: &str) -> Response {
        get(self.proxy.address(), path).await.expect("an answer")
    }

    /// How many requests the servers got.
    pub fn served(&self) -> u64 {
        self.servers.iter().map(Backend::requests).sum()
    }

    /// How often plugins failed for this reason.
    pub async fn failures(&self, reason: &str) -> f64 {
        self.sum("weir_plugin_failures_total", &[&format!("reason=\"{reason}\"")]).await
    }

    /// How often a hook of the Plugin of this name was called.
    pub async fn calls(&self, plugin: &str, hook: &str) -> f64 {
        let labels = [format!("plugin=\"test/{plugin}\""), format!("hook=\"{hook}\"")];
        self.sum("weir_plugin_duration_seconds_count", &labels.each_ref().map(String::as_str)).await
    }

    /// The sum over all samples of a metric that have these labels.
    ///
    /// # Panics
    /// If the proxy gives no figures.
    pub async fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let metrics = get(self.proxy.admin(), "/metrics").await.expect("figures").text();
        let samples = samples(&metrics, metric).into_iter();
        samples.filter(|(has, _)| labels.iter().all(|label| has.contains(label))).map(|(_, value)| value).sum()
    }
}

/// A Plugin that is a script, with 2 MiB of memory.
pub fn lua(source: impl Into<String>) -> pb::Plugin {
    of(pb::plugin::Code::Lua(pb::Lua { source: source.into(), memory_limit: 2 << 20 }))
}

/// A Plugin of a type that comes with Weir.
pub fn built_in(name: &str) -> pb::Plugin {
    of(pb::plugin::Code::BuiltIn(name.to_owned()))
}

/// A Plugin of this code, with a second for each call: a machine that runs other tests takes its time.
pub fn of(code: pb::plugin::Code) -> pb::Plugin {
    pb::Plugin { code: Some(code), failure_policy: FailurePolicy::Closed.into(), timeout_ms: 1_000 }
}
