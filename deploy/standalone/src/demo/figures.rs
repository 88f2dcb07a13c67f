//! The live figures: what the proxy says of its backends beside what the demo's servers and clients counted.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::Request;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde::Deserialize;

use super::servers::{Counts, Server};
use super::traffic::Tally;
use crate::client::Client;

/// Where the proxy tells of the demo's pool.
pub(super) const STATE_PATH: &str = "/api/v1/pools/demo/web";

/// The figures of one moment.
#[derive(Debug)]
pub(super) struct Figures {
    /// One row a backend, as the proxy lists them.
    pub(super) rows: Vec<Row>,
    /// The demo's own requests.
    pub(super) tally: Tally,
}

/// What is known of one backend.
#[derive(Debug)]
pub(super) struct Row {
    /// From the proxy.
    pub(super) backend: BackendState,
    /// The demo's requests that its server answered.
    pub(super) demo: u64,
    /// Everybody else's.
    pub(super) yours: u64,
}

/// A backend in the proxy's state.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackendState {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) weight: u32,
    pub(super) in_flight: InFlight,
}

#[derive(Debug, Deserialize)]
pub(super) struct InFlight {
    pub(super) current: u64,
}

#[derive(Debug, Deserialize)]
struct PoolState {
    backends: Vec<BackendState>,
}

/// Where the figures come from.
#[derive(Debug)]
pub(super) struct Sources {
    admin: SocketAddr,
    servers: Vec<(String, Arc<Counts>)>,
    tally: Arc<Mutex<Tally>>,
}

impl Sources {
    pub(super) fn new(admin: SocketAddr, servers: &[Server], tally: Arc<Mutex<Tally>>) -> Self {
        let servers = servers.iter().map(|s| (s.name().to_owned(), s.counts())).collect();
        Self { admin, servers, tally }
    }

    /// The figures of this moment.
    pub(super) async fn read(&self) -> anyhow::Result<Figures> {
        let backends = self.backends().await.context("cannot read the proxy's state")?;
        let rows = backends.into_iter().map(|backend| self.row(backend)).collect();
        Ok(Figures { rows, tally: self.tally() })
    }

    /// The demo's own requests so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().clone()
    }

    /// The demo's requests by each server's own count.
    pub(super) fn by_server(&self) -> impl Iterator<Item = (&str, u64)> {
        self.servers.iter().map(|(name, counts)| (name.as_str(), counts.demo()))
    }

    async fn backends(&self) -> anyhow::Result<Vec<BackendState>> {
        let request = Request::get(STATE_PATH).body(String::new())?;
        let response = Client::connect(self.admin).await?.send(request).await?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(Vec::new()); // the pool was edited away
        }
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice::<PoolState>(&body)?.backends)
    }

    fn row(&self, backend: BackendState) -> Row {
        let counts = self.servers.iter().find(|(name, _)| *name == backend.name).map(|(_, counts)| counts);
        Row { demo: counts.map_or(0, |c| c.demo()), yours: counts.map_or(0, |c| c.yours()), backend }
    }
}
