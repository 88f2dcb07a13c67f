//! From the control plane's stream to the live table.
//!
//! [`client`] keeps the stream, to one of its [`targets`] by a [`connect`]ion, [`control`] owns what is held and changes
//! the table, [`cache`] keeps it on disk. [`report`] has what the control plane is told about endpoints, and [`informers`]
//! tells the replicas that have no stream of this proxy the same, and by [`holdings`] what it holds.

pub mod apply;
mod backends;
pub mod cache;
pub mod chunks;
pub mod client;
mod connect;
mod control;
pub mod handle;
mod holdings;
mod informers;
mod link;
pub mod orphans;
pub mod report;
mod starting;
mod targets;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hickory_resolver::net::NetError;
use http::Uri;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_proto::tls::{self, Follower};

use crate::health::Transition;
use crate::listener::Served;
use crate::plugin::wasm::Modules;
use crate::pool::runtime::Environment;
use crate::readiness::Readiness;
use crate::resolve::{Dns, Resolver};
use crate::stats::ProcessStats;
use crate::table::TableHandle;
use crate::tls::CertificateStore;

use apply::Applier;
use cache::Cache;
use client::Client;
use connect::Connector;
use control::{Control, Inbox, Outbox};
use handle::ControlHandle;
use holdings::Holdings;
use informers::{Informer, Informers};
use link::Link;
use report::Reports;
use starting::Starting;
use targets::{Names, Targets};

/// Where resources come from, and what is kept of them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Control planes, of which any will do.
    pub control_planes: Vec<Uri>,
    /// Folder of the certificates for them.
    pub tls: Option<PathBuf>,
    /// Name of this proxy there.
    pub node_id: String,
    /// Port of its admin server.
    pub admin_port: u16,
    /// Folder of the last good table, if it is kept.
    pub cache_dir: Option<PathBuf>,
    /// Asked in place of the system's DNS servers.
    pub dns_server: Option<SocketAddr>,
    /// Seed of all waits.
    pub seed: u64,
}

/// What discovery works on.
#[derive(Debug)]
pub struct Context {
    /// The listeners of this process, in order.
    pub listeners: Arc<[Served]>,
    /// The table to change.
    pub table: TableHandle,
    /// The certificates to change.
    pub certificates: CertificateStore,
    /// What new pools need.
    pub environment: Environment,
    /// The other end of the environment's transitions.
    pub transitions: mpsc::UnboundedReceiver<Transition>,
    /// Held back until the first table is live.
    pub readiness: Readiness,
    /// Figures.
    pub stats: Arc<ProcessStats>,
}

/// Everything on the control thread that leads to the live table.
#[derive(Debug)]
pub struct Discovery {
    control: Control,
    handle: ControlHandle,
    client: Client,
    informers: Informers,
    resolver: Resolver<Dns>,
    credentials: Option<Follower<ClientConfig>>,
    seed: u64,
}

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The DNS settings are refused.
    #[error("DNS: {0}")]
    Dns(#[from] NetError),
    /// The certificates cannot be used.
    #[error("--control-plane-tls {}: {cause}", folder.display())]
    Tls {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        cause: tls::Error,
    },
}

impl Discovery {
    /// Puts the parts together. From now on the process is not ready.
    ///
    /// # Errors
    /// If the DNS settings or the certificates are refused.
    pub fn new(settings: Settings, context: Context) -> Result<Self, Error> {
        let Settings { control_planes, tls, node_id, admin_port, cache_dir, dns_server, seed } = settings;
        let Context { listeners, table, certificates, environment, transitions, readiness, stats } = context;
        let (handle, requests) = ControlHandle::new();
        let (wanted_names, wanted) = watch::channel(Default::default());
        let (results, resolved) = mpsc::channel(64);
        let reports = Reports::default();
        let modules = Modules::new(cache_dir.clone());
        let applier = Applier::new(listeners, table.clone(), environment, modules.clone(), certificates);
        let (connector, credentials) = connector(tls, &stats)?;
        let dns = Dns::new(dns_server)?;
        let names = if dns_server.is_some() { Names::Server(Box::new(dns.clone())) } else { Names::System };
        let targets = |n| {
            let rng = SmallRng::seed_from_u64(seed.wrapping_add(n));
            Targets::new(control_planes.clone(), names.clone(), rng)
        };
        let holdings = Holdings::default();
        let (control, stats_too) = (handle.clone(), stats.clone());
        let link = Link { node_id, admin_port, modules, control, reports: reports.clone(), holdings, stats: stats_too };
        let link = Arc::new(link);
        let (serves, serving) = watch::channel(None);
        let client = Client::new(targets(2), connector.clone(), link.clone(), serves);
        let informers = Informers::new(targets(3), Informer { connector, link }, serving);
        let cache = cache_dir.map(|folder| Cache::new(folder, stats.clone()));
        let starting = Starting::new(readiness);
        let outbox = Outbox { names: wanted_names, reports, cache, stats, starting };
        let control = Control::new(applier, table, Inbox { requests, resolved, transitions }, outbox);
        let resolver = Resolver::new(dns, wanted, results, SmallRng::seed_from_u64(seed));
        Ok(Self { control, handle, client, informers, resolver, credentials, seed })
    }

    /// Asks what is held.
    #[must_use]
    pub fn handle(&self) -> ControlHandle {
        self.handle.clone()
    }

    /// Works until `stop`; the newest table is on disk when this returns.
    pub async fn run(self, stop: CancellationToken) {
        let rng = |n| SmallRng::seed_from_u64(self.seed.wrapping_add(n));
        let credentials = self.credentials;
        let credentials = async {
            if let Some(follower) = credentials {
                follower.run(stop.clone()).await;
            }
        };
        tokio::join!(
            self.control.run(stop.clone()),
            self.client.run(rng(1), stop.clone()),
            self.informers.run(rng(4), stop.clone()),
            self.resolver.run(stop.clone()),
            credentials
        );
    }
}

/// What connects, and what follows its certificates if there are any.
fn connector(tls: Option<PathBuf>, stats: &ProcessStats) -> Result<(Connector, Option<Follower<ClientConfig>>), Error> {
    let Some(folder) = tls else { return Ok((Connector { tls: None }, None)) };
    let (current, follower) = tls::open(&folder).map_err(|cause| Error::Tls { folder, cause })?;
    stats.discovery.show_certificate(current.clone());
    Ok((Connector { tls: Some(current) }, Some(follower)))
}
