//! The stream to a control plane: connects, resumes with what is held, answers each delta, and goes to another
//! replica when it breaks. What deltas mean is the control loop's business.
//!
//! LIFECYCLE
//! ```text
//!   wait -> round: each address once, in an order of chance, the one that was lost last
//!    ^        connect -> subscribe -> delta -> answer -> full report -> (delta -> answer | report)*
//!    |          |           |                                                     |
//!    |          +-----------+-> the next address; after the last                  |
//!    +-----------------------------------+----------------- any error, or the end +
//! ```
//! The wait is a moment after a stream that lasted, and a growing one with jitter after rounds in vain.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{debug, info, warn};
use weir_proto::age::is_come_of_age;
use weir_proto::pb;
use weir_proto::pb::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;

use super::apply::Rejected;
use super::chunks::{Chunks, MixedNonces};
use super::connect::{ConnectError, Connector};
use super::handle::{ControlHandle, Ended};
use super::report::Reports;
use super::targets::{Candidate, Targets};
use crate::backoff::Backoff;
use crate::stats::ProcessStats;

/// After the loss of a stream that lasted, and before the first round again; more only spreads out those that lost
/// the same control plane.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// From the first packet to the head of the answer: after it, another address may do better.
const OPEN_WITHIN: Duration = Duration::from_secs(3);
/// A stream that ends sooner is no reason to come back at once: so will the next, perhaps.
const LASTS: Duration = Duration::from_secs(1);

/// Keeps one stream to a control plane.
#[derive(Debug)]
pub struct Client {
    targets: Targets,
    connector: Connector,
    link: Link,
}

/// The ends of a stream on this side.
#[derive(Debug)]
pub(super) struct Link {
    /// The name of this proxy there.
    pub(super) node_id: String,
    /// Applies what comes.
    pub(super) control: ControlHandle,
    /// What goes.
    pub(super) reports: Reports,
    /// Figures.
    pub(super) stats: Arc<ProcessStats>,
}

/// How far a stream came.
#[derive(Debug, Default)]
struct Progress {
    opened: Option<Instant>,
    delivered: bool,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {OPEN_WITHIN:?}")]
    Silent,
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

    fn is_age(&self) -> bool {
        matches!(self, Self::Status(status) if is_come_of_age(status))
    }
}

/// What is to be remembered from one stream to the next.
#[derive(Debug, Default)]
struct Lost {
    /// Where the last stream broke.
    address: Option<SocketAddr>,
    /// There is a line in the log about it.
    is_told: bool,
}

impl Client {
    /// A client of whatever `targets` lead to.
    pub(super) fn new(targets: Targets, connector: Connector, link: Link) -> Self {
        Self { targets, connector, link }
    }

    /// Keeps the stream up until `stop`; `rng` spreads the tries.
    pub async fn run(self, rng: SmallRng, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_up(Backoff::new(FIRST_WAIT, LONGEST_WAIT, rng))).await;
    }

    async fn keep_up(mut self, mut backoff: Backoff) {
        let mut lost = Lost::default();
        loop {
            if self.round(&mut lost).await {
                backoff.reset();
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Goes from address to address until a stream was open; says whether it lasted.
    async fn round(&mut self, lost: &mut Lost) -> bool {
        let candidates = self.targets.round(lost.address).await;
        if candidates.is_empty() && !std::mem::replace(&mut lost.is_told, true) {
            warn!("no address of a control plane is known; what is in force stays");
        }
        for candidate in candidates {
            let mut progress = Progress::default();
            let Err(error) = Box::pin(self.stream(&candidate, &mut progress)).await; // large, and rare
            lost.note(&candidate, &error, progress.opened.is_some());
            if let Some(since) = progress.opened {
                return progress.delivered && !error.is_takeover() && since.elapsed() >= LASTS;
            }
        }
        false
    }

    async fn stream(&self, to: &Candidate, progress: &mut Progress) -> Result<Infallible, StreamError> {
        let opened = timeout(OPEN_WITHIN, async { self.link.open(self.connector.connect(to).await?, to).await });
        let (deltas, sender) = opened.await.map_err(|_| StreamError::Silent)??;
        let _connected = Connected::new(&self.link.stats.discovery.connected);
        progress.opened = Some(Instant::now());
        self.link.receive(deltas, &sender, progress).await
    }
}

impl Lost {
    /// A warning when a control plane is lost, not one per try.
    fn note(&mut self, at: &Candidate, error: &StreamError, was_open: bool) {
        let (url, address, text) = (&at.url, at.address, chain(error));
        if error.is_age() {
            info!(%url, %address, "the stream has come of age; going to any control plane");
            *self = Self::default();
            return;
        }
        if was_open || !self.is_told {
            warn!(%url, %address, error = text, "no stream from the control plane; what is in force stays");
        } else {
            debug!(%url, %address, error = text, "still no stream from the control plane");
        }
        *self = Self { address: Some(at.address), is_told: true };
    }
}

impl Link {
    async fn open(
        &self,
        channel: Channel,
        to: &Candidate,
    ) -> Result<(Streaming<pb::Delta>, mpsc::Sender<pb::NodeMessage>), StreamError> {
        let (sender, outgoing) = mpsc::channel(4);
        let held = self.control.held().await?;
        info!(url = %to.url, address = %to.address, held = held.len(), "subscribing to the control plane");
        let build = env!("CARGO_PKG_VERSION").to_owned();
        send(&sender, Body::Subscribe(pb::Subscribe { node_id: self.node_id.clone(), build, held })).await?;
        let deltas = DiscoveryClient::new(channel).stream(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok((deltas, sender))
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
