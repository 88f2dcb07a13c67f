//! Who is connected, on which version, what it refused last, and what it says of its endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_proto::model::{Key, ResourceName};
use weir_proto::pb;
use weir_proto::version::Version;

use super::ledger::{Rejection, Settled};
use super::progress::{Exceptions, Progress};
use crate::metrics::Metrics;
use crate::scope::Scope;
use crate::snapshot::Snapshot;
use crate::status::{BackendHealth, EndpointDown, Merged, Told, Transition};

/// All connected proxies.
#[derive(Debug)]
pub struct Nodes {
    state: RwLock<State>,
    changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    nodes: BTreeMap<u64, Node>,
    endpoints: Merged,
    news: News,
}

/// What is different about the proxies since somebody asked last.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// A proxy came or went, which concerns every resource.
    pub(crate) membership: bool,
    /// From which snapshots to which ones proxies went, each pair once.
    pub(crate) moves: Vec<(Arc<Snapshot>, Arc<Snapshot>)>,
    /// Resources that a proxy refused or does not have yet, or no longer so.
    pub(crate) exceptions: BTreeSet<Key>,
    /// Backends about whose endpoints there is something new to say.
    pub(crate) backends: BTreeSet<ResourceName>,
    /// Endpoints that went down or came back.
    pub(crate) transitions: Vec<Transition>,
}

/// Who is at the other end of a stream.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    /// What it may read.
    pub scope: Arc<Scope>,
    /// Where its admin server is, if it says so.
    pub admin: Option<SocketAddr>,
}

impl Peer {
    /// The same with its admin server at this port, 0 = unknown.
    pub(super) fn with_admin(self, port: u32) -> Self {
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        let admin = self.address.zip(port).map(|(address, port)| SocketAddr::new(address.ip(), port));
        Self { admin, ..self }
    }
}

/// What a proxy has its stream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It gets what it should have from this replica.
    Serve,
    /// It gets that from another one, and tells this one how it is.
    Inform,
}

/// One connected proxy.
#[derive(Debug)]
struct Node {
    id: String,
    build: String,
    purpose: Purpose,
    peer: Peer,
    connected_since: Timestamp,
    /// The snapshot it works with: the one it answered last, or ours if another replica serves it.
    snapshot: Option<Arc<Snapshot>>,
    exceptions: Exceptions,
    ack: Option<(u64, Timestamp)>,
    nack: Option<(Timestamp, Vec<Rejection>)>,
    told: Told,
    replaced: CancellationToken,
}

impl Nodes {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: RwLock::default(), changed: watch::Sender::new(()), metrics }
    }

    /// Enters a proxy that is served here, until the handle is dropped. An older stream of the same node is asked to
    /// end: the node has come back before we noticed that it was gone.
    pub(super) fn enter(self: &Arc<Self>, id: String, build: String, peer: Peer) -> Handle {
        let node = Node::new(id, build, Purpose::Serve, peer);
        self.put(&mut self.state.write(), node)
    }

    /// Enters a proxy that another replica serves, until the handle is dropped; `None` while it is served here.
    pub(super) fn enter_informer(self: &Arc<Self>, id: String, build: String, peer: Peer) -> Option<Handle> {
        let mut state = self.state.write();
        let is_served = state.nodes.values().any(|node| node.id == id && node.purpose == Purpose::Serve);
        (!is_served).then(|| self.put(&mut state, Node::new(id, build, Purpose::Inform, peer)))
    }

    fn put(self: &Arc<Self>, state: &mut State, node: Node) -> Handle {
        let replaced = node.replaced.clone();
        let old: Vec<_> = state.nodes.extract_if(.., |_, other| other.id == node.id).map(|(_, old)| old).collect();
        for old in old {
            node.replace(&old);
            state.forget(old);
        }
        state.next += 1;
        let number = state.next;
        state.nodes.insert(number, node);
        state.news.membership = true;
        self.note(state);
        Handle { number, nodes: self.clone(), replaced }
    }

    /// A proxy that may read everything.
    #[cfg(test)]
    pub(crate) fn enter_for_test(self: &Arc<Self>, id: &str) -> Handle {
        self.enter(id.to_owned(), String::new(), Peer::default())
    }

    /// Wakes when a proxy comes, goes or answers.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How far the proxies are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let state = self.state.read();
        let mut progress = Progress::default();
        for Node { id, peer, snapshot, exceptions, .. } in state.nodes.values() {
            progress.add(id, &peer.scope, snapshot.as_ref(), exceptions);
        }
        progress
    }

    /// What all proxies together say of the endpoints of a Backend.
    pub(crate) fn health(&self, backend: &ResourceName) -> BackendHealth {
        self.state.read().endpoints.of(backend)
    }

    /// What is different since the last call.
    pub(crate) fn take_news(&self) -> News {
        let mut state = self.state.write();
        let mut news = std::mem::take(&mut state.news);
        news.backends = state.endpoints.take_changed();
        news.transitions = state.endpoints.take_transitions();
        news
    }

    /// Every connected proxy, as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let state = self.state.read();
        let proxies: Vec<_> = state.nodes.values().map(|node| node.to_json(&state.endpoints)).collect();
        json!({"proxies": proxies})
    }

    /// Where the admin server of this proxy is, if it is connected and says so.
    #[must_use]
    pub fn admin(&self, id: &str) -> Option<SocketAddr> {
        let state = self.state.read();
        state.nodes.values().find(|node| node.id == id)?.peer.admin
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Node, &mut Merged, &mut News)) {
        let mut state = self.state.write();
        let State { next: _, nodes, endpoints, news } = &mut *state;
        // A node that was replaced is no longer there.
        if let Some(node) = nodes.get_mut(&number) {
            change(node, endpoints, news);
            self.note(&state);
        }
    }

    fn note(&self, state: &State) {
        let served = state.nodes.values().filter(|node| node.purpose == Purpose::Serve).count();
        self.metrics.proxies_connected.set(i64::try_from(served).unwrap_or(i64::MAX));
        self.changed.send_replace(());
    }
}

/// The entry of one session; gone when dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    number: u64,
    nodes: Arc<Nodes>,
    replaced: CancellationToken,
}

impl Handle {
    /// Cancelled when the same node has opened another stream.
    pub(super) fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }

    /// The proxy answered delta `nonce`.
    pub(super) fn answered(&self, nonce: u64, settled: &Settled) {
        let Settled { snapshot, rejections } = settled;
        self.nodes.change(self.number, |node, _, news| {
            node.work_with(snapshot, news);
            if rejections.is_empty() {
                node.ack = Some((nonce, Timestamp::now()));
                return;
            }
            node.exceptions.refused.extend(rejections.iter().map(|r| ((r.key.clone(), r.version), r.reason.clone())));
            news.exceptions.extend(rejections.iter().map(|r| r.key.clone()));
            node.nack = Some((Timestamp::now(), rejections.clone()));
        });
    }

    /// The proxy holds all of a snapshot that it can, without a word said.
    pub(crate) fn holds(&self, snapshot: &Arc<Snapshot>) {
        self.nodes.change(self.number, |node, _, news| node.work_with(snapshot, news));
    }

    /// The proxy, which another replica serves, holds all of a snapshot but for these.
    pub(super) fn holds_but(&self, snapshot: &Arc<Snapshot>, exceptions: Exceptions) {
        self.nodes.change(self.number, |node, _, news| {
            node.work_with(snapshot, news);
            news.exceptions.extend(node.exceptions.changed(&exceptions));
            node.exceptions = exceptions;
        });
    }

    /// The proxy told of its endpoints.
    pub(crate) fn reported(&self, report: pb::Report) {
        self.nodes.change(self.number, |node, endpoints, _| endpoints.hear(&mut node.told, report));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.nodes.state.write();
        // A node that was replaced is no longer there.
        if let Some(node) = state.nodes.remove(&self.number) {
            state.forget(node);
        }
        self.nodes.note(&state);
    }
}

impl State {
    fn forget(&mut self, mut node: Node) {
        self.endpoints.leave(&mut node.told);
        self.news.membership = true;
    }
}

impl News {
    fn moved(&mut self, from: &Arc<Snapshot>, to: &Arc<Snapshot>) {
        let is_same = |(a, b): &(Arc<Snapshot>, Arc<Snapshot>)| Arc::ptr_eq(a, from) && Arc::ptr_eq(b, to);
        if !Arc::ptr_eq(from, to) && !self.moves.iter().any(is_same) {
            self.moves.push((from.clone(), to.clone()));
        }
    }
}

impl Node {
    fn new(id: String, build: String, purpose: Purpose, peer: Peer) -> Self {
        Self {
            id,
            build,
            purpose,
            peer,
            connected_since: Timestamp::now(),
            snapshot: None,
            exceptions: Exceptions::default(),
            ack: None,
            nack: None,
            told: Told::default(),
            replaced: CancellationToken::new(),
        }
    }

    /// Takes the place of an older stream, which may be that of another proxy: two of one name that are served here
    /// would go on ending each other's.
    fn replace(&self, old: &Self) {
        old.replaced.cancel();
        if old.purpose == Purpose::Inform {
            return;
        }
        let (id, address, old_address) = (&self.id, &self.peer.address, &old.peer.address);
        tracing::warn!(
            node = id,
            ?address,
            ?old_address,
            "a second stream of this node id ends the first; if that goes on, two proxies have the same --node-id"
        );
    }

    /// Works with a snapshot from now on. What it refused of older ones is of no interest any more.
    fn work_with(&mut self, snapshot: &Arc<Snapshot>, news: &mut News) {
        let is_old = |(key, version): &(Key, Version)| snapshot.get(key).is_none_or(|e| e.version != *version);
        let old = self.exceptions.refused.extract_if(.., |refused, _| is_old(refused));
        news.exceptions.extend(old.map(|((key, _), _)| key));
        match self.snapshot.replace(snapshot.clone()) {
            Some(old) => news.moved(&old, snapshot),
            None => news.membership = true,
        }
    }

    fn to_json(&self, endpoints: &Merged) -> Value {
        let Self { id, build, purpose, peer, connected_since, snapshot, exceptions, ack, nack, told, replaced: _ } =
            self;
        json!({
            "id": id,
            "build": build,
            "servedHere": *purpose == Purpose::Serve,
            "address": peer.address.map(|a| a.to_string()),
            "admin": peer.admin.map(|a| a.to_string()),
            "connectedSince": connected_since.to_string(),
            "version": snapshot.as_ref().map(|s| s.version().to_string()),
            "missing": exceptions.behind.len(),
            "lastAck": ack.as_ref().map(|(nonce, time)| json!({"nonce": nonce, "time": time.to_string()})),
            "lastNack": nack.as_ref().map(|(time, rejections)| json!({
                "time": time.to_string(),
                "rejections": rejections.iter().map(rejection_json).collect::<Vec<_>>(),
            })),
            "endpointsDown": endpoints.down(told).map(endpoint_json).collect::<Vec<_>>(),
        })
    }
}

fn rejection_json(rejection: &Rejection) -> Value {
    let Rejection { key, version, reason } = rejection;
    json!({
        "kind": key.kind.as_str(), "namespace": key.name.namespace(), "name": key.name.name(),
        "version": version.to_string(), "reason": reason,
    })
}

fn endpoint_json(endpoint: EndpointDown<'_>) -> Value {
    let EndpointDown { backend, address, state, since, fails, last_failure, left } = endpoint;
    json!({
        "backend": backend.to_string(), "address": address.to_string(), "state": state.as_str(),
        "since": since.map(|s| s.to_string()), "fails": fails, "lastFailure": last_failure, "left": left,
    })
}
