//! One proxy: moves messages between its stream and its ledger.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};
use weir_proto::pb;
use weir_proto::pb::node_message::Body;

use super::Context;
use super::chunk::chunks;
use super::ledger::{Ledger, Offer};
use super::nodes::Handle;
use crate::snapshot::Snapshot;

/// A stream that says nothing is no proxy.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);

type ToNode = mpsc::Sender<Result<pb::Delta, Status>>;

/// Serves one stream to its end.
pub(super) async fn run(
    context: Context,
    address: Option<SocketAddr>,
    mut from_node: Streaming<pb::NodeMessage>,
    to_node: &ToNode,
) -> Result<(), Status> {
    let subscribe = subscribe(&mut from_node).await?;
    let pb::Subscribe { node_id, build, held } = subscribe;
    tracing::info!(node = node_id, build, held = held.len(), "proxy connected");
    let node = context.nodes.enter(node_id.clone(), build, address);
    let mut session = Session::new(context, node, Ledger::new(held));
    let result = session.serve(&mut from_node, to_node).await;
    tracing::info!(node = node_id, "proxy disconnected");
    result
}

async fn subscribe(from_node: &mut Streaming<pb::NodeMessage>) -> Result<pb::Subscribe, Status> {
    let first = tokio::time::timeout(SUBSCRIBE_WITHIN, from_node.message()).await;
    match first.map_err(|_| Status::invalid_argument("no Subscribe came"))?? {
        Some(pb::NodeMessage { body: Some(Body::Subscribe(subscribe)) }) if !subscribe.node_id.is_empty() => {
            Ok(subscribe)
        }
        _ => Err(Status::invalid_argument("the first message must be a Subscribe with a node_id")),
    }
}

struct Session {
    context: Context,
    node: Handle,
    ledger: Ledger,
    /// Chunks of the unanswered delta that are not sent yet.
    outbox: VecDeque<pb::Delta>,
    /// The snapshot that was looked at last; `None` before the first.
    seen: Option<Arc<Snapshot>>,
    /// When the oldest change was made that is not offered yet.
    oldest: Option<Instant>,
    /// When the oldest change was made that the unanswered delta carries; the first delta carries none.
    carried: Option<Instant>,
}

impl Session {
    fn new(context: Context, node: Handle, ledger: Ledger) -> Self {
        Self { context, node, ledger, outbox: VecDeque::new(), seen: None, oldest: None, carried: None }
    }

    async fn serve(&mut self, from_node: &mut Streaming<pb::NodeMessage>, to_node: &ToNode) -> Result<(), Status> {
        let mut snapshots = self.context.snapshot.clone();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                self.look(snapshot);
            }
            tokio::select! {
                () = self.context.stop.cancelled() => return Err(Status::unavailable("the control plane stops")),
                () = self.node.replaced().cancelled() => return Err(Status::aborted("the node opened another stream")),
                message = from_node.message() => match message? {
                    Some(message) => self.hear(message)?,
                    None => return Ok(()),
                },
                permit = to_node.reserve(), if !self.outbox.is_empty() => {
                    let permit = permit.map_err(|_| Status::cancelled("the node is gone"))?;
                    if let Some(chunk) = self.outbox.pop_front() {
                        permit.send(Ok(chunk));
                    }
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
                self.outbox = chunks(&delta, nonce, snapshot.version()).into();
                self.context.metrics.sent(&delta, &self.outbox);
            }
            None => self.node.holds(&snapshot),
        }
        self.seen = Some(snapshot);
    }

    fn hear(&mut self, message: pb::NodeMessage) -> Result<(), Status> {
        match message.body {
            Some(Body::Subscribe(_)) => Err(Status::invalid_argument("Subscribe came twice")),
            Some(Body::Answer(answer)) => self.hear_answer(answer),
            Some(Body::Report(report)) => {
                self.node.reported(report);
                Ok(())
            }
            // A newer node may know more kinds of messages than we do.
            None => Ok(()),
        }
    }

    fn hear_answer(&mut self, answer: pb::Answer) -> Result<(), Status> {
        if !self.outbox.is_empty() {
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
        Ok(())
    }
}
