//! The demo's own requests: few, steady, one after the other, each accounted for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::{Request, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::servers::SERVER_HEADER;
use crate::client::Client;

/// Tells the demo's requests from everybody else's.
pub(super) const USER_AGENT: &str = "weir-demo";

/// What became of the demo's requests.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    /// Requests begun.
    pub(super) sent: u64,
    /// Requests not answered with 200 by a server of the demo.
    pub(super) failed: u64,
    /// Requests answered, by the server that answered.
    pub(super) answered: BTreeMap<String, u64>,
}

impl Tally {
    /// Requests answered by any server.
    pub(super) fn all_answered(&self) -> u64 {
        self.answered.values().sum()
    }

    fn add(&mut self, outcome: anyhow::Result<String>) {
        match outcome {
            Ok(server) => *self.answered.entry(server).or_default() += 1,
            Err(e) => {
                self.failed += 1;
                tracing::warn!(error = format!("{e:#}"), "a request of the demo failed");
            }
        }
    }
}

/// Sends `rate` requests per second until told to stop; the running one is finished.
pub(super) async fn run(weir: SocketAddr, rate: u32, tally: Arc<Mutex<Tally>>, stop: CancellationToken) {
    let mut clock = interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        tally.lock().sent += 1;
        let outcome = request(&mut connection, weir).await;
        if outcome.is_err() {
            connection = None;
        }
        tally.lock().add(outcome);
    }
}

/// Gives the name of the server that answered.
async fn request(connection: &mut Option<Client>, weir: SocketAddr) -> anyhow::Result<String> {
    let client = match connection.take() {
        Some(client) if client.is_open() => client,
        _ => Client::connect(weir).await?,
    };
    let client = connection.insert(client);
    let request = Request::get("/").header(header::USER_AGENT, USER_AGENT).body(String::new())?;
    let response = client.send(request).await?;
    let (head, body) = response.into_parts();
    body.collect().await?;
    ensure!(head.status == 200, "answered {}", head.status);
    let server = head.headers.get(SERVER_HEADER).context("answered by no server of the demo")?;
    Ok(server.to_str()?.to_owned())
}
