//! The stream to a control plane: connects, resumes with what is held, answers each delta, and goes to another
//! replica when it breaks. What deltas mean is the control loop's business; [`super::informers`] tells the other
//! replicas.
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
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{debug, info, warn};
use weir_proto::pb;
use weir_proto::pb::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;

use super::apply::Rejected;
use super::chunks::Chunks;
use super::connect::Connector;
use super::holdings::Outline;
use super::link::{Link, OPEN_WITHIN, StreamError, ToControlPlane, report, send};
use super::targets::{Candidate, Targets};
use crate::backoff::Backoff;
use crate::causes::chain;

/// After the loss of a stream that lasted, and before the first round again; more only spreads out those that lost
/// the same control plane.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A stream that ends sooner is no reason to come back at once: so will the next, perhaps.
const LASTS: Duration = Duration::from_secs(1);

/// Keeps one stream to a control plane.
#[derive(Debug)]
pub struct Client {
    targets: Targets,
    connector: Connector,
    link: Arc<Link>,
    /// Who serves this proxy, once the first delta of a stream is live.
    serving: watch::Sender<Option<SocketAddr>>,
}

/// How far a stream came.
#[derive(Debug, Default)]
struct Progress {
    opened: Option<Instant>,
    delivered: bool,
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
    /// A client of whatever `targets` lead to; says to `serving` which of them it is.
    pub(super) fn new(
        targets: Targets,
        connector: Connector,
        link: Arc<Link>,
        serving: watch::Sender<Option<SocketAddr>>,
    ) -> Self {
        Self { targets, connector, link, serving }
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
        let opened = timeout(OPEN_WITHIN, async { self.open(self.connector.connect(to).await?, to).await });
        let (mut incoming, sender) = opened.await.map_err(|_| StreamError::Silent)??;
        let _connected = Connected::new(&self.link.stats.discovery.connected);
        progress.opened = Some(Instant::now());
        self.begin(&mut incoming, &sender).await?;
        progress.delivered = true;
        self.serving.send_replace(Some(to.address));
        let Err(error) = self.go_on(&mut incoming, &sender).await;
        self.serving.send_replace(None);
        Err(error)
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

impl Client {
    async fn open(&self, channel: Channel, to: &Candidate) -> Result<(Incoming, ToControlPlane), StreamError> {
        let (sender, outgoing) = mpsc::channel(4);
        let subscribe = self.link.subscribe().await?;
        info!(url = %to.url, address = %to.address, held = subscribe.held.len(), "subscribing to the control plane");
        send(&sender, Body::Subscribe(subscribe)).await?;
        let messages = DiscoveryClient::new(channel).stream(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok((Incoming { chunks: Chunks::default(), messages }, sender))
    }

    /// Takes the first delta, after which there is something to report.
    async fn begin(&self, incoming: &mut Incoming, sender: &ToControlPlane) -> Result<(), StreamError> {
        self.link.holdings.restart();
        let first = incoming.delta().await?;
        self.answer(first, sender).await
    }

    async fn go_on(&self, incoming: &mut Incoming, sender: &ToControlPlane) -> Result<Infallible, StreamError> {
        let reader = self.link.reports.reader();
        loop {
            tokio::select! {
                delta = incoming.delta() => self.answer(delta?, sender).await?,
                // Beside the receiving, so that a control plane that is slow to read cannot stop deltas.
                sent = report(&reader, sender) => sent?,
            }
        }
    }

    async fn answer(&self, delta: pb::Delta, sender: &ToControlPlane) -> Result<(), StreamError> {
        let (nonce, outline) = (delta.nonce, Outline::new(&delta));
        // Here, as the control loop has more to do than to wait for a compiler.
        self.link.modules.prepare(&delta.upserts).await;
        let rejected = self.link.control.apply(delta).await?;
        rejected.iter().for_each(|rejected| self.note_nack(rejected));
        let rejected: Vec<_> = rejected.into_iter().map(rejection).collect();
        self.link.holdings.applied(outline, &rejected);
        send(sender, Body::Answer(pb::Answer { nonce, rejected })).await
    }

    fn note_nack(&self, rejected: &Rejected) {
        let Rejected { key, version: _, reason } = rejected;
        warn!(kind = %key.kind, name = %key.name, reason, "refused a resource; its last good version stays");
        self.link.stats.discovery.nacks[key.kind as usize].fetch_add(1, Relaxed);
    }
}

/// Deltas in chunks.
struct Incoming {
    chunks: Chunks,
    messages: Streaming<pb::Delta>,
}

impl Incoming {
    /// The next delta, once all of it is there. Nothing is lost if this future is dropped.
    async fn delta(&mut self) -> Result<pb::Delta, StreamError> {
        loop {
            let chunk = self.messages.message().await?.ok_or(StreamError::Closed)?;
            if let Some(delta) = self.chunks.push(chunk)? {
                return Ok(delta);
            }
        }
    }
}

fn rejection(rejected: Rejected) -> pb::Rejection {
    let Rejected { key, version, reason } = rejected;
    pb::Rejection { key: Some((&key).into()), version, reason }
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
