//! One proxy that another replica serves: it tells what it holds and how its endpoints are, so that whichever replica
//! writes statuses knows all proxies. Replicas see the same resources, but not in the same steps: what the proxy holds
//! is compared with our own newest snapshot, whatever its own steps are.

use std::sync::Arc;

use tokio_stream::StreamExt;
use tonic::Status;
use weir_proto::model::Key;
use weir_proto::pb;
use weir_proto::pb::node_message::Body;
use weir_proto::version::Version;

use super::Context;
use super::arrivals::Turn;
use super::ledger::claim;
use super::nodes::{Handle, Peer};
use super::progress::{Exceptions, Refused};
use super::subscribe::{FromNode, subscribe};
use crate::held::Held;
use crate::scope::Scope;
use crate::snapshot::Snapshot;

/// Listens to one stream to its end.
pub(super) async fn run(context: Context, peer: Peer, mut from_node: impl FromNode) -> Result<(), Status> {
    let turn = context.arrivals.turn().await;
    let pb::Subscribe { node_id, build, held, admin_port } = subscribe(&mut from_node).await?;
    let account = Account::new(peer.scope.clone(), held);
    let peer = peer.with_admin(admin_port);
    let Some(node) = context.nodes.enter_informer(node_id.clone(), build, peer) else {
        return Err(Status::already_exists("this replica serves the node itself"));
    };
    tracing::debug!(node = node_id, "proxy of another replica connected");
    let result = Listener { context, node, account, turn }.listen(&mut from_node).await;
    tracing::debug!(node = node_id, "proxy of another replica disconnected");
    result
}

struct Listener {
    context: Context,
    node: Handle,
    account: Account,
    /// Lasts until the list of the proxy is compared with our own.
    turn: Turn,
}

impl Listener {
    async fn listen(&mut self, from_node: &mut impl FromNode) -> Result<(), Status> {
        let mut snapshots = self.context.snapshot.clone();
        let mut is_news = true;
        loop {
            if let (true, Some(snapshot)) = (is_news, snapshots.borrow_and_update().as_ref()) {
                self.node.holds_but(snapshot, self.account.compare(snapshot));
                self.turn.end();
            }
            is_news = tokio::select! {
                () = self.turn.overdue() => {
                    self.turn.end();
                    false
                }
                () = self.context.stop.cancelled() => return Err(Status::unavailable("the control plane stops")),
                () = self.node.replaced().cancelled() => return Err(Status::aborted("the node opened another stream")),
                message = from_node.try_next() => match message? {
                    Some(message) => self.hear(message)?,
                    None => return Ok(()),
                },
                changed = snapshots.changed() => {
                    changed.map_err(|_| Status::unavailable("the control plane stops"))?;
                    true
                }
            };
        }
    }

    /// Says whether there is news of what the proxy holds.
    fn hear(&mut self, message: pb::NodeMessage) -> Result<bool, Status> {
        match message.body {
            Some(Body::Holding(holding)) => {
                self.account.hear(holding);
                Ok(true)
            }
            Some(Body::Report(report)) => {
                self.node.reported(report);
                Ok(false)
            }
            Some(Body::Subscribe(_)) => Err(Status::invalid_argument("Subscribe came twice")),
            Some(Body::Answer(_)) => Err(Status::invalid_argument("there is no delta to answer")),
            // A newer node may know more kinds of messages than we do.
            None => Ok(false),
        }
    }
}

/// What one proxy says it holds, and what it refused.
#[derive(Debug)]
struct Account {
    held: Held,
    refused: Refused,
}

impl Account {
    fn new(scope: Arc<Scope>, held: Vec<pb::Held>) -> Self {
        Self { held: Held::new(scope, held.into_iter().filter_map(claim)), refused: Refused::new() }
    }

    /// Takes in a change. What makes no sense is passed over.
    fn hear(&mut self, holding: pb::Holding) {
        let pb::Holding { held, gone, refused } = holding;
        for (key, version) in held.into_iter().filter_map(claim) {
            self.held.set(key, Some(version));
        }
        for key in gone.into_iter().filter_map(|key| Key::try_from(key).ok()) {
            self.held.set(key, None);
        }
        self.refused.extend(refused.into_iter().filter_map(refusal));
    }

    /// Where the proxy is not as a snapshot.
    fn compare(&mut self, snapshot: &Arc<Snapshot>) -> Exceptions {
        self.refused.retain(|(key, version), _| {
            let is_wanted = snapshot.get(key).is_some_and(|entry| entry.version == *version);
            is_wanted && self.held.version(key) != Some(*version)
        });
        let step = self.held.step(snapshot, |key, version| self.refused.contains_key(&(key.clone(), version)));
        let delta = step.delta.clone();
        let behind = || delta.upserts.iter().map(|(key, _)| key);
        // It has not taken the step: another replica will see to that.
        self.held.take(step, behind().chain(&delta.removed));
        Exceptions { refused: self.refused.clone(), behind: behind().cloned().collect() }
    }
}

fn refusal(rejection: pb::Rejection) -> Option<((Key, Version), String)> {
    let pb::Rejection { key, version, reason } = rejection;
    Some(((Key::try_from(key?).ok()?, Version::from_wire(&version)?), reason))
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};
    use tokio::task::JoinHandle;
    use tokio_stream::wrappers::ReceiverStream;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::discovery::{Arrivals, Nodes};
    use crate::metrics::Metrics;
    use crate::status::Programmed;
    use crate::testing::{key, snapshot};

    type Content<'a> = &'a [(&'a str, u32)];

    fn of(pools: Content) -> Arc<Snapshot> {
        snapshot(&pools.iter().map(|(name, weight)| (key("Pool", name), *weight)).collect::<Vec<_>>())
    }

    fn all(pools: Content) -> Vec<pb::Held> {
        let held = |(key, version): (Key, Version)| pb::Held { key: Some((&key).into()), version: version.to_wire() };
        of(pools).entries().map(|(key, entry)| held((key.clone(), entry.version))).collect()
    }

    fn holding(pools: Content) -> Body {
        Body::Holding(pb::Holding { held: all(pools), ..pb::Holding::default() })
    }

    /// A replica, and a proxy `n` that another one serves.
    struct World {
        nodes: Arc<Nodes>,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        to_listener: mpsc::Sender<Result<pb::NodeMessage, Status>>,
        listening: JoinHandle<Result<(), Status>>,
    }

    impl World {
        async fn new(ours: Content<'_>, held: Content<'_>) -> Self {
            let metrics = Arc::new(Metrics::new().unwrap());
            let nodes = Arc::new(Nodes::new(metrics.clone()));
            let (snapshots, snapshot) = watch::channel(Some(of(ours)));
            let context = Context {
                snapshot,
                nodes: nodes.clone(),
                arrivals: Arrivals::default(),
                metrics,
                stop: CancellationToken::new(),
            };
            let (to_listener, messages) = mpsc::channel(4);
            let listening = tokio::spawn(run(context, Peer::default(), ReceiverStream::new(messages)));
            let world = Self { nodes, snapshots, to_listener, listening };
            let node_id = "n".to_owned();
            world.say(Body::Subscribe(pb::Subscribe { node_id, held: all(held), ..Default::default() })).await;
            world
        }

        async fn say(&self, body: Body) {
            self.to_listener.send(Ok(pb::NodeMessage { body: Some(body) })).await.unwrap();
        }

        fn programmed(&self, pool: &str) -> Programmed {
            let (key, snapshot) = (key("Pool", pool), self.snapshots.borrow().clone().unwrap());
            self.nodes.progress().of(&key, snapshot.get(&key).map(|entry| entry.version))
        }

        /// Waits until so many of so many proxies have the newest version of a Pool.
        async fn until(&self, pool: &str, programmed: usize, total: usize) {
            let mut changes = self.nodes.changes();
            let counts = |p: Programmed| (p.programmed, p.total);
            while counts(self.programmed(pool)) != (programmed, total) {
                changes.changed().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_proxy_of_another_replica_counts_by_what_it_holds() {
        let world = World::new(&[("a", 1), ("b", 1)], &[("a", 1)]).await;
        world.until("a", 1, 1).await;
        world.until("b", 0, 1).await;
        world.say(holding(&[("b", 1)])).await;
        world.until("b", 1, 1).await;
        world.snapshots.send_replace(Some(of(&[("a", 2), ("b", 1)])));
        world.until("a", 0, 1).await;
        world.until("b", 1, 1).await;
        world.say(holding(&[("a", 2)])).await;
        world.until("a", 1, 1).await;
    }

    #[tokio::test]
    async fn it_may_be_ahead_of_us_and_go_by_steps_of_its_own() {
        let world = World::new(&[("a", 1)], &[("a", 2)]).await;
        world.until("a", 0, 1).await;
        world.say(holding(&[("a", 3)])).await;
        world.snapshots.send_replace(Some(of(&[("a", 3)])));
        world.until("a", 1, 1).await;
    }

    #[tokio::test]
    async fn what_it_refused_is_told_with_the_reason_until_another_version_is_wanted() {
        let world = World::new(&[("a", 2)], &[("a", 1)]).await;
        let version = of(&[("a", 2)]).get(&key("Pool", "a")).unwrap().version.to_wire();
        let rejection = pb::Rejection { key: Some((&key("Pool", "a")).into()), version, reason: "bad".into() };
        world.say(Body::Holding(pb::Holding { refused: vec![rejection], ..pb::Holding::default() })).await;
        let mut changes = world.nodes.changes();
        while world.programmed("a").rejected.is_empty() {
            changes.changed().await.unwrap();
        }
        let refused = Programmed { total: 1, programmed: 0, rejected: vec![("n".into(), "bad".into())] };
        assert_eq!(world.programmed("a"), refused);
        world.snapshots.send_replace(Some(of(&[("a", 1)])));
        world.until("a", 1, 1).await;
        assert_eq!(world.programmed("a").rejected, []);
    }

    #[tokio::test]
    async fn a_proxy_counts_once_and_what_serves_it_comes_first() {
        let mut world = World::new(&[("a", 1)], &[("a", 1)]).await;
        world.until("a", 1, 1).await;
        let served = world.nodes.enter_for_test("n");
        let status = (&mut world.listening).await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Aborted);
        assert_eq!(world.nodes.progress().of(&key("Pool", "a"), None).total, 1);
        assert!(world.nodes.enter_informer("n".into(), String::new(), Peer::default()).is_none());
        drop(served);
        assert!(world.nodes.enter_informer("n".into(), String::new(), Peer::default()).is_some());
    }

    #[tokio::test]
    async fn who_tells_something_else_is_cut_off() {
        let world = World::new(&[], &[]).await;
        world.say(Body::Answer(pb::Answer::default())).await;
        assert_eq!(world.listening.await.unwrap().unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
