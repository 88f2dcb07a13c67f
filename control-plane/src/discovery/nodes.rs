//! Who is connected, on which version, what it refused last, and which of its endpoints are not up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_proto::model::Key;
use weir_proto::pb;
use weir_proto::version::Version;

use super::ledger::{Rejection, Settled};
use crate::metrics::Metrics;
use crate::scope::Scope;
use crate::snapshot::Snapshot;
use crate::status::Programmed;

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
}

/// What a proxy refused of the snapshot it answered last, and why.
type Refused = BTreeMap<(Key, Version), String>;

/// Who is at the other end of a stream.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    /// What it may read.
    pub scope: Arc<Scope>,
}

/// One connected proxy.
#[derive(Debug, Clone)]
pub struct Node {
    id: String,
    build: String,
    peer: Peer,
    connected_since: Timestamp,
    /// The snapshot it answered last.
    snapshot: Option<Arc<Snapshot>>,
    refused: Refused,
    ack: Option<(u64, Timestamp)>,
    nack: Option<(Timestamp, Vec<Rejection>)>,
    /// Endpoints that are not up, by Backend and address.
    down: BTreeMap<(Key, String), pb::EndpointReport>,
    replaced: CancellationToken,
}

/// How far the proxies are. Those that work with the same snapshot and may read the same are counted together,
/// so that a thousand proxies cost little more than one.
#[derive(Debug, Default)]
pub struct Progress {
    groups: Vec<Group>,
    /// Who refused what, and why.
    refused: BTreeMap<(Key, Version), Vec<(String, String)>>,
}

#[derive(Debug)]
struct Group {
    snapshot: Option<Arc<Snapshot>>,
    scope: Arc<Scope>,
    count: usize,
}

impl Nodes {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: RwLock::default(), changed: watch::Sender::new(()), metrics }
    }

    /// Enters a proxy until the handle is dropped. An older stream of the same node is asked to end: the node
    /// has come back before we noticed that it was gone.
    pub(super) fn enter(self: &Arc<Self>, id: String, build: String, peer: Peer) -> Handle {
        let replaced = CancellationToken::new();
        let node = Node {
            id,
            build,
            peer,
            connected_since: Timestamp::now(),
            snapshot: None,
            refused: Refused::new(),
            ack: None,
            nack: None,
            down: BTreeMap::new(),
            replaced: replaced.clone(),
        };
        let mut state = self.state.write();
        let old = state.nodes.extract_if(.., |_, other| other.id == node.id);
        old.for_each(|(_, other)| node.replace(&other));
        state.next += 1;
        let number = state.next;
        state.nodes.insert(number, node);
        self.note(&state);
        drop(state);
        Handle { number, nodes: self.clone(), replaced }
    }

    /// Wakes when a proxy comes, goes or answers.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How far the proxies are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        self.state.read().nodes.values().for_each(|node| progress.count(node));
        progress
    }

    /// Every connected proxy, as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let state = self.state.read();
        json!({"proxies": state.nodes.values().map(Node::to_json).collect::<Vec<_>>()})
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Node)) {
        let mut state = self.state.write();
        // A node that was replaced is no longer there.
        if let Some(node) = state.nodes.get_mut(&number) {
            change(node);
            self.note(&state);
        }
    }

    fn note(&self, state: &State) {
        self.metrics.proxies_connected.set(i64::try_from(state.nodes.len()).unwrap_or(i64::MAX));
        self.changed.send_replace(());
    }
}

/// The entry of one session; gone when dropped.
#[derive(Debug)]
pub(super) struct Handle {
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
        self.nodes.change(self.number, |node| {
            node.work_with(snapshot);
            if rejections.is_empty() {
                node.ack = Some((nonce, Timestamp::now()));
                return;
            }
            node.refused.extend(rejections.iter().map(|r| ((r.key.clone(), r.version), r.reason.clone())));
            node.nack = Some((Timestamp::now(), rejections.clone()));
        });
    }

    /// The proxy holds all of a snapshot that it can, without a word said.
    pub(super) fn holds(&self, snapshot: &Arc<Snapshot>) {
        self.nodes.change(self.number, |node| node.work_with(snapshot));
    }

    /// The proxy told of its endpoints.
    pub(super) fn reported(&self, report: pb::Report) {
        let pb::Report { full, endpoints } = report;
        self.nodes.change(self.number, |node| {
            if full {
                node.down.clear();
            }
            endpoints.into_iter().for_each(|endpoint| node.take(endpoint));
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.nodes.state.write();
        state.nodes.remove(&self.number);
        self.nodes.note(&state);
    }
}

impl Node {
    /// Takes the place of an older stream, which may be that of another proxy: two of one name would go on
    /// ending each other's.
    fn replace(&self, old: &Self) {
        let (id, address, old_address) = (&self.id, &self.peer.address, &old.peer.address);
        tracing::warn!(
            node = id,
            ?address,
            ?old_address,
            "a second stream of this node id ends the first; if that goes on, two proxies have the same --node-id"
        );
        old.replaced.cancel();
    }

    /// Works with a snapshot from now on. What it refused of older ones is of no interest any more.
    fn work_with(&mut self, snapshot: &Arc<Snapshot>) {
        self.refused.retain(|(key, version), _| snapshot.get(key).is_some_and(|entry| entry.version == *version));
        self.snapshot = Some(snapshot.clone());
    }

    /// Keeps the report of an endpoint that is not up, and forgets that of one that is or has gone.
    fn take(&mut self, report: pb::EndpointReport) {
        let Some(Ok(backend)) = report.backend.clone().map(Key::try_from) else { return };
        let key = (backend, report.address.clone());
        match report.state() {
            pb::EndpointState::Up | pb::EndpointState::Gone => drop(self.down.remove(&key)),
            _ => drop(self.down.insert(key, report)),
        }
    }

    fn to_json(&self) -> Value {
        let Self { id, build, peer, connected_since, snapshot, refused: _, ack, nack, down, replaced: _ } = self;
        json!({
            "id": id,
            "build": build,
            "address": peer.address.map(|a| a.to_string()),
            "connectedSince": connected_since.to_string(),
            "version": snapshot.as_ref().map(|s| s.version().to_string()),
            "lastAck": ack.as_ref().map(|(nonce, time)| json!({"nonce": nonce, "time": time.to_string()})),
            "lastNack": nack.as_ref().map(|(time, rejections)| json!({
                "time": time.to_string(),
                "rejections": rejections.iter().map(rejection_json).collect::<Vec<_>>(),
            })),
            "endpointsDown": down.iter().map(|((backend, _), report)| endpoint_json(backend, report)).collect::<Vec<_>>(),
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

fn endpoint_json(backend: &Key, report: &pb::EndpointReport) -> Value {
    let state = match report.state() {
        pb::EndpointState::Up => "Up",
        pb::EndpointState::Ejected => "Ejected",
        pb::EndpointState::Disabled => "Disabled",
        pb::EndpointState::Draining => "Draining",
        pb::EndpointState::Gone => "Gone",
        pb::EndpointState::Unspecified => "Unknown",
    };
    let since = i64::try_from(report.since_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    json!({
        "backend": backend.name.to_string(), "address": report.address, "state": state,
        "since": since.map(|s| s.to_string()), "fails": report.fails, "lastFailure": report.last_failure,
    })
}

impl Progress {
    fn count(&mut self, node: &Node) {
        for ((key, version), why) in &node.refused {
            let refused = self.refused.entry((key.clone(), *version)).or_default();
            refused.push((node.id.clone(), why.clone()));
        }
        match self.groups.iter_mut().find(|group| group.holds(node)) {
            Some(group) => group.count += 1,
            None => {
                let (snapshot, scope) = (node.snapshot.clone(), node.peer.scope.clone());
                self.groups.push(Group { snapshot, scope, count: 1 });
            }
        }
    }

    /// How far the proxies that may read a resource are with a version of it; `None` = it is not in the snapshot.
    #[must_use]
    pub fn of(&self, key: &Key, version: Option<Version>) -> Programmed {
        let mut programmed = Programmed::default();
        for group in self.groups.iter().filter(|group| group.scope.covers(&key.name)) {
            programmed.total += group.count;
            programmed.programmed += if group.answered(key, version) { group.count } else { 0 };
        }
        if let Some(refused) = version.and_then(|version| self.refused.get(&(key.clone(), version))) {
            // Each of them has answered the snapshot that holds it.
            programmed.programmed = programmed.programmed.saturating_sub(refused.len());
            programmed.rejected.clone_from(refused);
        }
        programmed
    }
}

impl Group {
    fn holds(&self, node: &Node) -> bool {
        let Node { snapshot, peer, .. } = node;
        self.snapshot.as_ref().map(Arc::as_ptr) == snapshot.as_ref().map(Arc::as_ptr) && self.scope == peer.scope
    }

    /// Whether these proxies have answered a version.
    fn answered(&self, key: &Key, version: Option<Version>) -> bool {
        let entry = self.snapshot.as_ref().and_then(|snapshot| snapshot.get(key));
        version.is_some() && entry.map(|entry| entry.version) == version
    }
}
