//! The stream to the control plane: connects, resumes with what is held, answers each delta, and comes
//! back when it breaks. What deltas mean is the control loop's business.
//!
//! LIFECYCLE
//! ```text
//!   wait (back-off) -> connect -> subscribe -> delta -> answer -> full report -> (delta -> answer | report)*
//!        ^                |           |                                                   |
//!        +----------------+-----------+---------------- any error, or the end ------------+
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::{Endpoint, Uri};
use tracing::{debug, info, warn};
use weir_proto::pb;
use weir_proto::pb::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;

use super::apply::Rejected;
use super::chunks::{Chunks, MixedNonces};
use super::handle::{ControlHandle, Ended};
use super::report::Reports;
use crate::backoff::Backoff;
use crate::stats::ProcessStats;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A dead control plane is noticed after at most the sum of these two.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps one stream to the control plane.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    node_id: String,
    control: ControlHandle,
    reports: Reports,
    stats: Arc<ProcessStats>,
}

/// How far a stream came.
#[derive(Debug, Default)]
struct Progress {
    opened: bool,
    delivered: bool,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("cannot connect")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane answered {:?}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error(transparent)]
    Order(#[from] MixedNonces),
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl StreamError {
    /// Whether another stream of the same node id took the place of this one. If that is another proxy's, coming
    /// back at once would only end it in turn.
    fn is_takeover(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == tonic::Code::Aborted)
    }
}

impl Client {
    /// A client of the control plane at `url`, known there as `node_id`.
    #[must_use]
    pub fn new(url: Uri, node_id: String, control: ControlHandle, reports: Reports, stats: Arc<ProcessStats>) -> Self {
        let endpoint = Endpoint::from(url)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Self { endpoint, node_id, control, reports, stats }
    }

    /// Keeps the stream up until `stop`; `rng` spreads the tries.
    pub async fn run(self, rng: SmallRng, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_up(Backoff::new(FIRST_WAIT, LONGEST_WAIT, rng))).await;
    }

    async fn keep_up(&self, mut backoff: Backoff) {
        let mut down = false;
        loop {
            let mut progress = Progress::default();
            let Err(error) = self.stream(&mut progress).await;
            if progress.delivered && !error.is_takeover() {
                backoff.reset();
            }
            self.note_end(&error, down && !progress.opened);
            down = true;
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// A warning when the control plane is lost, not one per try.
    fn note_end(&self, error: &StreamError, known: bool) {
        let (url, error) = (self.endpoint.uri(), chain(error));
        if known {
            debug!(%url, error, "still no stream from the control plane");
        } else {
            warn!(%url, error, "no stream from the control plane; what is in force stays");
        }
    }

    async fn stream(&self, progress: &mut Progress) -> Result<Infallible, StreamError> {
        let mut client = DiscoveryClient::new(self.endpoint.connect().await?);
        let (sender, outgoing) = mpsc::channel(4);
        let held = self.control.held().await?;
        info!(url = %self.endpoint.uri(), held = held.len(), "subscribing to the control plane");
        let build = env!("CARGO_PKG_VERSION").to_owned();
        send(&sender, Body::Subscribe(pb::Subscribe { node_id: self.node_id.clone(), build, held })).await?;
        let deltas = client.stream(ReceiverStream::new(outgoing)).await?.into_inner();
        let _connected = Connected::new(&self.stats.discovery.connected);
        progress.opened = true;
        self.receive(deltas, &sender, progress).await
    }

    async fn receive(
        &self,
        mut deltas: Streaming<pb::Delta>,
        sender: &mpsc::Sender<pb::NodeMessage>,
        progress: &mut Progress,
    ) -> Result<Infallible, StreamError> {
        let mut chunks = Chunks::default();
        loop {
            tokio::select! {
                chunk = deltas.message() => {
                    let chunk = chunk?.ok_or(StreamError::Closed)?;
                    if let Some(delta) = chunks.push(chunk)? {
                        self.answer(delta, sender).await?;
                        if !std::mem::replace(&mut progress.delivered, true) {
                            self.reports.restart();
                        }
                    }
                }
                // Beside the receiving, so that a control plane that is slow to read cannot stop deltas.
                sent = self.report(sender), if progress.delivered => sent?,
            }
        }
    }

    async fn answer(&self, delta: pb::Delta, sender: &mpsc::Sender<pb::NodeMessage>) -> Result<(), StreamError> {
        let nonce = delta.nonce;
        let rejected = self.control.apply(delta).await?;
        rejected.iter().for_each(|rejected| self.note_nack(rejected));
        let rejected = rejected.into_iter().map(rejection).collect();
        send(sender, Body::Answer(pb::Answer { nonce, rejected })).await
    }

    fn note_nack(&self, rejected: &Rejected) {
        let Rejected { key, version: _, reason } = rejected;
        warn!(kind = %key.kind, name = %key.name, reason, "refused a resource; its last good version stays");
        self.stats.discovery.nacks[key.kind as usize].fetch_add(1, Relaxed);
    }

    /// Sends what is to be reported. A report is taken only when there is room for it, so that nothing is
    /// lost if this future is dropped.
    async fn report(&self, sender: &mpsc::Sender<pb::NodeMessage>) -> Result<(), StreamError> {
        self.reports.changed().await;
        let room = sender.reserve().await.map_err(|_| StreamError::Closed)?;
        room.send(message(Body::Report(self.reports.take())));
        Ok(())
    }
}

fn rejection(rejected: Rejected) -> pb::Rejection {
    let Rejected { key, version, reason } = rejected;
    pb::Rejection { key: Some((&key).into()), version, reason }
}

fn message(body: Body) -> pb::NodeMessage {
    pb::NodeMessage { body: Some(body) }
}

async fn send(sender: &mpsc::Sender<pb::NodeMessage>, body: Body) -> Result<(), StreamError> {
    sender.send(message(body)).await.map_err(|_| StreamError::Closed)
}

/// The error and its causes, as the outermost alone says only "transport error".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Says that the stream is open, as long as it lives.
#[derive(Debug)]
struct Connected<'a>(&'a AtomicBool);

impl<'a> Connected<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Relaxed);
        Self(flag)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
