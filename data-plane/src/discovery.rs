//! From the control plane's stream to the live table.
//!
//! [`client`] keeps the stream, [`control`] owns what is held and changes the table, [`cache`] keeps it on
//! disk, [`report`] tells the control plane about endpoints.

pub mod apply;
pub mod cache;
pub mod chunks;
pub mod client;
mod control;
pub mod handle;
pub mod report;
mod starting;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hickory_resolver::net::NetError;
use http::Uri;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::health::Transition;
use crate::pool::runtime::Environment;
use crate::readiness::Readiness;
use crate::resolve::{Dns, Resolver};
use crate::stats::ProcessStats;
use crate::table::TableHandle;

use apply::Applier;
use cache::Cache;
use client::Client;
use control::{Control, Inbox, Outbox};
use handle::ControlHandle;
use report::Reports;
use starting::Starting;

/// Where resources come from, and what is kept of them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The control plane.
    pub control_plane: Uri,
    /// Name of this proxy there.
    pub node_id: String,
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
    /// The table to change.
    pub table: TableHandle,
    /// What new pools need.
    pub environment: Environment,
    /// The other end of the environment's transitions.
    pub transitions: mpsc::UnboundedReceiver<Transition>,
    /// Held back until the first table is live.
    pub readiness: Readiness,
    /// Figures, and the listeners by name.
    pub stats: Arc<ProcessStats>,
}

/// Everything on the control thread that leads to the live table.
#[derive(Debug)]
pub struct Discovery {
    control: Control,
    client: Client,
    resolver: Resolver<Dns>,
    seed: u64,
}

impl Discovery {
    /// Puts the parts together. From now on the process is not ready.
    ///
    /// # Errors
    /// If the DNS settings are refused.
    pub fn new(settings: Settings, context: Context) -> Result<Self, NetError> {
        let Settings { control_plane, node_id, cache_dir, dns_server, seed } = settings;
        let Context { table, environment, transitions, readiness, stats } = context;
        let (handle, requests) = ControlHandle::new();
        let (names, wanted) = watch::channel(Default::default());
        let (results, resolved) = mpsc::channel(64);
        let reports = Reports::default();
        let listeners = stats.listeners.iter().map(|listener| listener.name.clone()).collect();
        let applier = Applier::new(listeners, table.clone(), environment);
        let client = Client::new(control_plane, node_id, handle, reports.clone(), stats.clone());
        let cache = cache_dir.map(|folder| Cache::new(folder, stats.clone()));
        let starting = Starting::new(readiness);
        let outbox = Outbox { names, reports, cache, stats, starting };
        let control = Control::new(applier, table, Inbox { requests, resolved, transitions }, outbox);
        let resolver = Resolver::new(Dns::new(dns_server)?, wanted, results, SmallRng::seed_from_u64(seed));
        Ok(Self { control, client, resolver, seed })
    }

    /// Works until `stop`; the newest table is on disk when this returns.
    pub async fn run(self, stop: CancellationToken) {
        let rng = SmallRng::seed_from_u64(self.seed.wrapping_add(1));
        tokio::join!(
            self.control.run(stop.clone()),
            self.client.run(rng, stop.clone()),
            self.resolver.run(stop.clone())
        );
    }
}
