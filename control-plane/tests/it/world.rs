//! A whole control plane over a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_control_plane::app::{self, Bound};
use weir_control_plane::config::{Config, SourceConfig};
use weir_control_plane::snapshot::Snapshot;
use weir_control_plane::status::{StatusSink, Update};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::proxy::SOON;

/// The folder of a control plane; outlives it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn delete(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }
}

/// Keeps what it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(pub(crate) Arc<parking_lot::Mutex<Vec<Update>>>);

impl StatusSink for Recorder {
    async fn write(&mut self, update: Update) {
        self.0.lock().push(update);
    }
}

pub(crate) struct World {
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) told: Recorder,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), app::Error>>,
}

pub(crate) async fn bind(folder: PathBuf) -> Bound {
    bind_with(folder, |_| {}).await
}

/// With other settings than on loopback.
pub(crate) async fn bind_with(folder: PathBuf, set: impl FnOnce(&mut Config)) -> Bound {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(SourceConfig::Folder(folder), any, any);
    set(&mut config);
    app::bind(config).await.unwrap()
}

impl World {
    pub(crate) async fn start(folder: &Folder) -> Self {
        Self::start_at(folder.path("")).await
    }

    /// Starts, and waits for the first snapshot.
    pub(crate) async fn start_at(folder: PathBuf) -> Self {
        Self::of(bind(folder).await).await
    }

    /// Starts what is bound, and waits for the first snapshot.
    pub(crate) async fn of(bound: Bound) -> Self {
        let (grpc, admin, mut snapshots) = (bound.grpc, bound.admin, bound.snapshots());
        let (stop, told) = (CancellationToken::new(), Recorder::default());
        let running = tokio::spawn(bound.run_with(told.clone(), stop.clone()));
        tokio::time::timeout(SOON, snapshots.wait_for(Option::is_some)).await.unwrap().unwrap();
        Self { grpc, admin, told, snapshots, stop, running }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap().unwrap();
    }

    pub(crate) fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone().unwrap()
    }

    /// Weight of a resource in the newest snapshot, by its bare name.
    pub(crate) fn weight(&self, name: &str) -> Option<u32> {
        weight(&self.snapshot(), name)
    }

    /// Waits until a resource has this weight (`None` = it is gone); says how long that took.
    pub(crate) async fn becomes(&mut self, name: &str, wanted: Option<u32>) -> Duration {
        let start = Instant::now();
        let is_there = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| weight(s, name) == wanted);
        let result = tokio::time::timeout(SOON, self.snapshots.wait_for(is_there)).await;
        assert!(result.is_ok(), "{name} never had weight {wanted:?}");
        start.elapsed()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await).unwrap()
    }

    /// One series of `/metrics`; 0 if it is not there yet.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Polls a page until it is as wanted.
    pub(crate) async fn shows(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let shown = self.json(path).await;
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{shown:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn weight(snapshot: &Snapshot, name: &str) -> Option<u32> {
    let (_, entry) = snapshot.entries().find(|(key, _)| key.name.name() == name)?;
    Some(match pb::Resource::decode(entry.encoded.clone()).unwrap().body.unwrap() {
        Body::Pool(pool) => pool.weight,
        Body::Backend(backend) => backend.weight,
        Body::Endpoints(_) | Body::Plugin(_) => return None,
    })
}

pub(crate) fn pool(name: &str, weight: u32) -> String {
    format!("---\napiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {{name: {name}}}\nspec: {{weight: {weight}}}\n")
}

pub(crate) fn backend(name: &str, pool: &str, weight: u32) -> String {
    format!(
        "---\napiVersion: weir.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\n\
         spec: {{pool: {pool}, address: '127.0.0.1:80', weight: {weight}}}\n"
    )
}
