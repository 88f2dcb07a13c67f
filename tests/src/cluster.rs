//! Both planes in this process, joined by real gRPC, on ports of their own.

mod control_plane;
mod data_plane;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;
use tempfile::TempDir;
use weir_data_plane::limits::Limits;

pub use control_plane::ControlPlane;
pub use data_plane::{Builder as DataPlaneBuilder, DataPlane};

use crate::authority::{Authority, YEAR};
use crate::manifest::pool;
use crate::metrics::samples;
use crate::{Client, Response, eventually, get};

/// A folder of manifests, a control plane that watches it, and a proxy.
#[derive(Debug)]
pub struct Weir {
    folder: TempDir,
    tls: Option<Certificates>,
    grpc: SocketAddr,
    control: Option<ControlPlane>,
    proxy: DataPlane,
    markers: AtomicU64,
}

/// What a [`Weir`] is to be.
#[derive(Debug)]
pub struct Builder {
    files: Vec<(String, String)>,
    tls: Option<Certificates>,
    proxy: DataPlaneBuilder,
}

/// Folders with the certificates of both planes.
#[derive(Debug)]
struct Certificates {
    control: TempDir,
    proxy: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let (control, proxy) = (temporary(), temporary());
        let authority = Authority::new();
        authority.server(YEAR).write(control.path(), &[&authority]);
        authority.client(&["*"], YEAR).write(proxy.path(), &[&authority]);
        Self { control, proxy }
    }
}

async fn control_plane(folder: &TempDir, grpc: &str, tls: Option<&Certificates>) -> ControlPlane {
    ControlPlane::start(folder.path(), grpc, tls.map(|tls| tls.control.path())).await
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

impl Builder {
    /// With this manifest.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// With TLS between the planes.
    #[must_use]
    pub fn tls(self) -> Self {
        Self { tls: Some(Certificates::new()), ..self }
    }

    /// With this many workers in place of two.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.proxy = self.proxy.workers(workers);
        self
    }

    /// With a listener `tcp` besides `http`.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.proxy = self.proxy.tcp();
        self
    }

    /// With a listener `https` besides `http`.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.proxy = self.proxy.https();
        self
    }

    /// With a listener `https` besides `http`, and this folder of certificates.
    #[must_use]
    pub fn tls_dir(mut self, folder: &Path) -> Self {
        self.proxy = self.proxy.tls_dir(folder);
        self
    }

    /// With another listener, as `--listen` has it.
    #[must_use]
    pub fn listen(mut self, listener: &str) -> Self {
        self.proxy = self.proxy.listen(listener);
        self
    }

    /// Believes these networks who a client is.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: &[&str]) -> Self {
        self.proxy = self.proxy.trusted_proxies(networks);
        self
    }

    /// With this DNS server.
    #[must_use]
    pub fn dns(mut self, server: SocketAddr) -> Self {
        self.proxy = self.proxy.dns(server);
        self
    }

    /// With this folder for the last good table.
    #[must_use]
    pub fn cache(mut self, folder: &Path) -> Self {
        self.proxy = self.proxy.cache(folder);
        self
    }

    /// With this file for its access log.
    #[must_use]
    pub fn access_log(mut self, file: &Path) -> Self {
        self.proxy = self.proxy.access_log(file);
        self
    }

    /// With this file for its access log, lines of this format, and those requests that this filter keeps.
    ///
    /// # Panics
    /// If one of them is none.
    #[must_use]
    pub fn access_log_with(mut self, file: &Path, format: &str, filter: &str) -> Self {
        let (format, filter) = (format.parse().expect("a format"), filter.parse().expect("a filter"));
        self.proxy = self.proxy.access_log_with(file, format, filter);
        self
    }

    /// Sends traces to the collector at this address: those of this share of requests that come without one.
    #[must_use]
    pub fn trace(mut self, collector: SocketAddr, share: &str) -> Self {
        self.proxy = self.proxy.trace(collector, share);
        self
    }

    /// With these limits of its proxy.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.proxy = self.proxy.limits(limits);
        self
    }

    /// Stays this long before it stops accepting.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.proxy = self.proxy.drain_delay(delay);
        self
    }

    /// Gives running requests this long when it stops.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.proxy = self.proxy.drain_timeout(timeout);
        self
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start(self) -> Weir {
        let folder = temporary();
        for (name, text) in &self.files {
            write(folder.path(), name, text).expect("a folder to write to");
        }
        let control = control_plane(&folder, "127.0.0.1:0", self.tls.as_ref()).await;
        let grpc = control.grpc();
        let proxy = match &self.tls {
            None => self.proxy.control_plane(grpc),
            Some(tls) => self.proxy.control_planes(&[format!("https://{grpc}")]).tls(tls.proxy.path()),
        };
        let proxy = proxy.start().await;
        Weir { folder, tls: self.tls, grpc, control: Some(control), proxy, markers: AtomicU64::new(0) }
    }
}

impl Weir {
    /// Two workers and no manifests.
    #[must_use]
    pub fn builder() -> Builder {
        // The address is set when the control plane has one.
        Builder { files: Vec::new(), tls: None, proxy: DataPlane::builder(([127, 0, 0, 1], 0).into()) }
    }

    /// Starts one with this manifest, and waits until it is ready.
    pub async fn start(manifest: &str) -> Self {
        Self::builder().file("web.yaml", manifest).start().await
    }

    /// Where the proxy takes requests.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Where the proxy takes connections of TCP.
    pub fn tcp_address(&self) -> SocketAddr {
        self.proxy.tcp_address()
    }

    /// Where the proxy takes requests over TLS.
    pub fn https_address(&self) -> SocketAddr {
        self.proxy.https_address()
    }

    /// Where a listener of [`Builder::listen`] is.
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.proxy.listener(name)
    }

    /// The proxy's admin address.
    pub fn admin(&self) -> SocketAddr {
        self.proxy.admin()
    }

    /// The control plane's gRPC address.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The control plane's admin address.
    ///
    /// # Panics
    /// If it is stopped.
    pub fn control_admin(&self) -> SocketAddr {
        self.control.as_ref().expect("a control plane that runs").admin()
    }

    /// A kept-alive connection to the proxy.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn client(&self) -> Client {
        Client::connect(self.address()).await.expect("a proxy that accepts")
    }

    /// GET on a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Response {
        get(self.address(), path).await.unwrap_or_else(|e| panic!("GET {path}: {e:#}"))
    }

    /// Writes a manifest, and waits until the proxy serves by it.
    pub async fn write(&self, name: &str, text: &str) {
        self.edit(name, text);
        // What was written before the marker is live when the marker is: both are read and sent in order.
        let marker = format!("marker-{}", self.markers.fetch_add(1, SeqCst));
        self.edit("marker.yaml", &pool(&marker, "match: [{hosts: [marker.invalid]}]"));
        let name = format!("{}/{marker}", crate::manifest::NAMESPACE);
        eventually("a written file is live", async || self.state(&name).await).await;
    }

    /// Writes a manifest at once, as editors and `ConfigMap`s do.
    ///
    /// # Panics
    /// If that fails.
    pub fn edit(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text).expect("a folder to write to");
    }

    /// The folder of the manifests.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The state of a pool, by `namespace/name`; `None` if there is no such pool.
    ///
    /// # Panics
    /// If the proxy does not answer.
    pub async fn state(&self, pool: &str) -> Option<Value> {
        let response = get(self.admin(), &format!("/api/v1/pools/{pool}")).await.expect("an admin that answers");
        (response.status == 200).then(|| response.json())
    }

    /// The state of a backend; null if there is no such backend.
    pub async fn backend(&self, pool: &str, name: &str) -> Value {
        let state = self.state(pool).await.unwrap_or_default();
        let backends = state["backends"].as_array().map(Vec::as_slice).unwrap_or_default();
        backends.iter().find(|backend| backend["name"] == name).cloned().unwrap_or_default()
    }

    /// The proxy's metrics.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metrics(&self) -> String {
        get(self.admin(), "/metrics").await.expect("an admin that answers").text()
    }

    /// The samples of one of the proxy's metrics.
    pub async fn samples(&self, name: &str) -> Vec<(String, f64)> {
        samples(&self.metrics().await, name)
    }

    /// The sample of one of the proxy's metrics in whose labels `labels` occurs.
    pub async fn sample(&self, name: &str, labels: &str) -> Option<f64> {
        self.samples(name).await.into_iter().find(|(l, _)| l.contains(labels)).map(|(_, value)| value)
    }

    /// The sum over all samples of one of the proxy's metrics.
    pub async fn metric(&self, name: &str) -> f64 {
        self.samples(name).await.iter().map(|(_, value)| value).sum()
    }

    /// The sum over all samples of one of the control plane's metrics.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn control_metric(&self, name: &str) -> f64 {
        let text = get(self.control_admin(), "/metrics").await.expect("an admin that answers").text();
        samples(&text, name).iter().map(|(_, value)| value).sum()
    }

    /// Stops the control plane; the proxy goes on.
    ///
    /// # Panics
    /// If it is stopped already.
    pub async fn stop_control_plane(&mut self) {
        self.control.take().expect("a control plane that runs").stop().await;
    }

    /// Starts the control plane again, at its address.
    pub async fn start_control_plane(&mut self) {
        self.control = Some(control_plane(&self.folder, &self.grpc.to_string(), self.tls.as_ref()).await);
    }

    /// Stops the proxy gracefully, then the control plane.
    pub async fn stop(self) {
        self.proxy.stop().await;
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}

/// Files appear complete: readers never see half of one.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = folder.join(format!(".{name}.new"));
    fs::write(&new, text)?;
    fs::rename(new, folder.join(name))
}
