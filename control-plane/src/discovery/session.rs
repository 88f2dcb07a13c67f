//! One proxy: moves messages between its stream and its ledger.

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tonic::Status;
use weir_proto::age::come_of_age;
use weir_proto::pb::node_message::Body;
use weir_proto::{encoded, pb};

use super::Context;
use super::arrivals::Turn;
use super::chunk::Chunks;
use super::ledger::{Ledger, Offer};
use super::nodes::{Handle, Peer};
use super::subscribe::{FromNode, subscribe};
use crate::snapshot::Snapshot;

/// How long a stream lives, within a tenth: proxies that fled from a replica which was away for a while come back to
/// it by and by.
const AGE: Duration = Duration::from_secs(30 * 60);
const AGE_SPREAD: RangeInclusive<f64> = 0.9..=1.1;

type ToNode = mpsc::Sender<Result<encoded::Delta, Status>>;

/// Serves one stream to its end.
pub(super) async fn run(
    context: Context,
    peer: Peer,
    mut from_node: impl FromNode,
    to_node: &ToNode,
) -> Result<(), Status> {
    let turn = context.arrivals.turn().await;
    let pb::Subscribe { node_id, build, held, admin_port } = subscribe(&mut from_node).await?;
    tracing::info!(node = node_id, build, held = held.len(), "proxy connected");
    let ledger = Ledger::new(peer.scope.clone(), held);
    let node = context.nodes.enter(node_id.clone(), build, peer.with_admin(admin_port));
    let mut session = Session::new(context, node, ledger, turn);
    let result = session.serve(&mut from_node, to_node).await;
    tracing::info!(node = node_id, "proxy disconnected");
    result
}

fn age() -> Duration {
    AGE.mul_f64(rand::random_range(AGE_SPREAD))
}

struct Session {
    context: Context,
    node: Handle,
    ledger: Ledger,
    /// Chunks of the unanswered delta that are not sent yet.
    outbox: Option<Chunks>,
    /// The snapshot that was looked at last; `None` before the first.
    seen: Option<Arc<Snapshot>>,
    /// When the oldest change was made that is not offered yet.
    oldest: Option<Instant>,
    /// When the oldest change was made that the unanswered delta carries; the first delta carries none.
    carried: Option<Instant>,
    /// Lasts until the first answer.
    turn: Turn,
}

impl Session {
    fn new(context: Context, node: Handle, ledger: Ledger, turn: Turn) -> Self {
        Self { context, node, ledger, outbox: None, seen: None, oldest: None, carried: None, turn }
    }

    async fn serve(&mut self, from_node: &mut impl FromNode, to_node: &ToNode) -> Result<(), Status> {
        let mut snapshots = self.context.snapshot.clone();
        let mut old = pin!(tokio::time::sleep(age()));
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                self.look(snapshot);
            }
            tokio::select! {
                () = self.context.stop.cancelled() => return Err(Status::unavailable("the control plane stops")),
                () = self.node.replaced().cancelled() => return Err(Status::aborted("the node opened another stream")),
                // Not while an answer is on its way: it would be lost, and the delta sent once more.
                () = self.turn.overdue() => self.turn.end(),
                () = &mut old, if self.ledger.is_idle() => return Err(come_of_age()),
                message = from_node.try_next() => match message? {
                    Some(message) => self.hear(message)?,
                    None => return Ok(()),
                },
                permit = to_node.reserve(), if self.outbox.is_some() => {
                    self.send_chunk(permit.map_err(|_| Status::cancelled("the node is gone"))?);
                }
                changed = snapshots.changed() => changed.map_err(|_| Status::unavailable("the control plane stops"))?,
            }
        }
    }

    /// Looks at the newest snapshot; offers the difference if the proxy has answered all it was sent.
    fn look(&mut self, snapshot: Arc<Snapshot>) {
        let Some(seen) = &self.seen else { return self.offer(snapshot) };
        if Arc::ptr_eq(seen, &snapshot) {
            return;
        }
        self.oldest.get_or_insert(snapshot.changed_at());
        if self.ledger.is_idle() {
            self.offer(snapshot);
        }
    }

    fn offer(&mut self, snapshot: Arc<Snapshot>) {
        self.carried = self.oldest.take();
        match self.ledger.offer(&snapshot) {
            Some(Offer { nonce, delta }) => {
                self.context.metrics.offered(&delta);
                self.outbox = Some(Chunks::new(delta, nonce, snapshot.version()));
            }
            None => self.node.holds(&snapshot),
        }
        self.seen = Some(snapshot);
    }

    fn send_chunk(&mut self, permit: mpsc::Permit<'_, Result<encoded::Delta, Status>>) {
        if let Some(chunk) = self.outbox.as_mut().and_then(Chunks::next) {
            self.context.metrics.sent(chunk.encoded_len());
            permit.send(Ok(chunk));
        }
        self.outbox.take_if(|chunks| chunks.is_done());
    }

    fn hear(&mut self, message: pb::NodeMessage) -> Result<(), Status> {
        match message.body {
            Some(Body::Subscribe(_)) => Err(Status::invalid_argument("Subscribe came twice")),
            Some(Body::Answer(answer)) => self.hear_answer(answer),
            Some(Body::Report(report)) => {
                self.node.reported(report);
                Ok(())
            }
            Some(Body::Holding(_)) => Err(Status::invalid_argument("a Holding belongs on an Inform")),
            // A newer node may know more kinds of messages than we do.
            None => Ok(()),
        }
    }

    fn hear_answer(&mut self, answer: pb::Answer) -> Result<(), Status> {
        if self.outbox.is_some() {
            return Err(Status::invalid_argument("the answer came before the last chunk"));
        }
        let nonce = answer.nonce;
        let settled = self.ledger.answer(answer)?;
        for rejection in &settled.rejections {
            tracing::debug!(resource = %rejection.key, reason = rejection.reason, "refused by a proxy");
        }
        self.context.metrics.answered(&settled.rejections.iter().map(|r| r.key.kind).collect::<Vec<_>>());
        if let Some(since) = self.carried.take().filter(|_| settled.rejections.is_empty()) {
            self.context.metrics.propagation.observe(since.elapsed().as_secs_f64());
        }
        self.node.answered(nonce, &settled);
        self.turn.end();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio_stream::wrappers::ReceiverStream;
    use tokio_util::sync::CancellationToken;
    use weir_proto::age::is_come_of_age;

    use super::*;
    use crate::discovery::{Arrivals, Nodes};
    use crate::metrics::Metrics;
    use crate::testing::{key, snapshot};

    /// A session whose stream is two channels.
    struct Stream {
        to_session: mpsc::Sender<Result<pb::NodeMessage, Status>>,
        from_session: mpsc::Receiver<Result<encoded::Delta, Status>>,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        running: JoinHandle<Result<(), Status>>,
    }

    impl Stream {
        async fn open() -> Self {
            let metrics = Arc::new(Metrics::new().unwrap());
            let nodes = Arc::new(Nodes::new(metrics.clone()));
            let (snapshots, snapshot) = watch::channel(Some(snapshot(&[])));
            let arrivals = Arrivals::default();
            let context = Context { snapshot, nodes, arrivals, metrics, stop: CancellationToken::new() };
            let (to_session, messages) = mpsc::channel(4);
            let (to_node, from_session) = mpsc::channel(4);
            let running =
                tokio::spawn(
                    async move { run(context, Peer::default(), ReceiverStream::new(messages), &to_node).await },
                );
            let stream = Self { to_session, from_session, snapshots, running };
            stream.say(Body::Subscribe(pb::Subscribe { node_id: "n".into(), ..Default::default() })).await;
            stream
        }

        async fn say(&self, body: Body) {
            self.to_session.send(Ok(pb::NodeMessage { body: Some(body) })).await.unwrap();
        }

        /// The nonce of the next delta.
        async fn delta(&mut self) -> u64 {
            self.from_session.recv().await.unwrap().unwrap().nonce
        }

        async fn ack(&self, nonce: u64) {
            self.say(Body::Answer(pb::Answer { nonce, rejected: Vec::new() })).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_it_is_old_and_says_so() {
        let mut stream = Stream::open().await;
        let (start, nonce) = (Instant::now(), stream.delta().await);
        stream.ack(nonce).await;
        let status = stream.running.await.unwrap().unwrap_err();
        assert!(is_come_of_age(&status), "{status}");
        let age = start.elapsed().as_secs_f64() / AGE.as_secs_f64();
        assert!((0.89..1.11).contains(&age), "{age}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_stream_waits_for_the_answer_that_is_due() {
        let mut stream = Stream::open().await;
        let first = stream.delta().await;
        stream.ack(first).await;
        stream.snapshots.send_replace(Some(snapshot(&[(key("Pool", "a"), 1)])));
        let second = stream.delta().await;
        tokio::time::sleep(AGE * 2).await;
        assert!(!stream.running.is_finished());
        stream.ack(second).await;
        assert!(is_come_of_age(&stream.running.await.unwrap().unwrap_err()));
    }

    #[test]
    fn streams_of_one_moment_do_not_end_in_one_moment() {
        let ages: std::collections::BTreeSet<Duration> = (0..100).map(|_| age()).collect();
        assert!(ages.len() > 50, "{ages:?}");
    }
}
