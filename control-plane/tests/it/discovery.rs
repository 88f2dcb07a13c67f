//! The rules of order of `proto/weir/v1/discovery.proto`, over a real stream: `order_N_` is about rule N there.

use std::net::SocketAddr;
use std::sync::Arc;

use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use weir_control_plane::discovery::{Arrivals, Context, Nodes, Service};
use weir_control_plane::metrics::Metrics;
use weir_control_plane::scope::Scope;
use weir_control_plane::snapshot::{Patch, Snapshot};
use weir_proto::model::{Key, Kind};
use weir_proto::pb;
use weir_proto::pb::node_message::Body;

use super::proxy::{Got, Proxy, SOON};

/// The service alone, with snapshots made by hand.
struct Plane {
    address: SocketAddr,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    nodes: Arc<Nodes>,
    stop: CancellationToken,
}

impl Plane {
    async fn start() -> Self {
        Self::scoped(None).await
    }

    /// A plane that takes every proxy for one of this scope.
    async fn scoped(scope: Option<Scope>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (snapshots, snapshot) = watch::channel(None);
        let (nodes, stop) = (Arc::new(Nodes::new(metrics.clone())), CancellationToken::new());
        let arrivals = Arrivals::default();
        let context = Context { snapshot, nodes: nodes.clone(), arrivals, metrics, stop: stop.clone() };
        let service = Service::new(context, TaskTracker::new()).into_server();
        let service = InterceptedService::new(service, move |mut request: tonic::Request<()>| {
            scope.clone().map(|scope| request.extensions_mut().insert(scope));
            Ok(request)
        });
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        Self { address, snapshots, nodes, stop }
    }

    /// A plane with a first snapshot.
    async fn with(resources: &[(&str, u32)]) -> Self {
        let plane = Self::start().await;
        plane.publish(resources);
        plane
    }

    /// How far the proxies are with a resource of the newest snapshot: how many have it, of how many.
    fn programmed(&self, key: &Key) -> (usize, usize) {
        let version = self.snapshots.borrow().as_ref().and_then(|s| s.get(key).map(|entry| entry.version));
        let programmed = self.nodes.progress().of(key, version);
        (programmed.programmed, programmed.total)
    }

    /// Publishes exactly these: `p/NAME` is a Pool, `b/NAME` a Backend, of namespace default unless NAME names one.
    fn publish(&self, resources: &[(&str, u32)]) {
        let upserts = resources.iter().map(|(name, weight)| (key(name), body(&key(name), *weight)));
        let empty = Snapshot::empty(Instant::now());
        let patch = Patch { upserts: upserts.collect(), ..Patch::default() };
        self.snapshots.send_replace(Some(Arc::new(empty.next(patch, Instant::now()).unwrap_or(empty))));
    }

    /// What is known of the only proxy, once it is as wanted.
    async fn node(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let nodes = self.nodes.to_json();
            match nodes["proxies"].as_array().unwrap().as_slice() {
                [node] if wanted(node) => return node.clone(),
                _ => assert!(Instant::now() < deadline, "{nodes:#}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

fn key(name: &str) -> Key {
    let (kind, name) = name.split_once('/').unwrap();
    let kind = if kind == "p" { Kind::Pool } else { Kind::Backend };
    let name = if name.contains('/') { name.to_owned() } else { format!("default/{name}") };
    Key { kind, name: name.parse().unwrap() }
}

fn body(key: &Key, weight: u32) -> pb::resource::Body {
    match key.kind {
        Kind::Pool => pb::resource::Body::Pool(pb::Pool { weight, ..Default::default() }),
        Kind::Backend => pb::resource::Body::Backend(pb::Backend { weight, ..Default::default() }),
        Kind::Endpoints => pb::resource::Body::Endpoints(pb::Endpoints::default()),
        Kind::Plugin => pb::resource::Body::Plugin(pb::Plugin::default()),
    }
}

fn got(nonce: u64, upserts: &[&str], removed: &[&str]) -> Got {
    let keys = |names: &[&str]| names.iter().map(|name| key(name).to_string()).collect();
    Got { nonce, upserts: keys(upserts), removed: keys(removed) }
}

#[tokio::test]
async fn order_1_the_first_message_must_be_subscribe() {
    let plane = Plane::with(&[]).await;
    let mut proxy = Proxy::open(plane.address).await;
    proxy.say(Body::Report(pb::Report::default())).await;
    assert_eq!(proxy.end().await.code(), Code::InvalidArgument);
    let mut nameless = Proxy::subscribe(plane.address, "").await;
    assert_eq!(nameless.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn order_1_subscribe_comes_once() {
    let plane = Plane::with(&[]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.say(Body::Subscribe(pb::Subscribe { node_id: "n".into(), ..Default::default() })).await;
    assert_eq!(proxy.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn order_2_nothing_is_sent_before_the_first_snapshot_and_then_at_once() {
    let plane = Plane::start().await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    plane.node(|node| node["id"] == "n").await;
    proxy.hears_nothing().await;
    plane.publish(&[]);
    assert_eq!(proxy.accept().await, got(1, &[], &[]), "even an empty one");
}

#[tokio::test]
async fn order_3_a_delta_comes_in_chunks_of_one_nonce() {
    let plane = Plane::start().await;
    let label = [("x".repeat(100_000), String::new())];
    let upserts = (0..20).map(|i| {
        let labels = label.clone().into_iter().collect();
        (key(&format!("b/{i}")), pb::resource::Body::Backend(pb::Backend { labels, ..Default::default() }))
    });
    let patch = Patch { upserts: upserts.collect(), ..Patch::default() };
    plane.snapshots.send_replace(Snapshot::empty(Instant::now()).next(patch, Instant::now()).map(Arc::new));
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    assert_eq!(proxy.accept().await.upserts.len(), 20);
    assert!(proxy.chunks.len() >= 4);
    assert!(proxy.chunks.iter().all(|chunk| chunk.nonce == 1 && chunk.encoded_len() <= 512 << 10));
}

#[tokio::test]
async fn order_4_upserts_go_backends_first_and_removals_pools_first() {
    let plane = Plane::with(&[("p/a", 1), ("p/b", 1), ("b/x", 1), ("b/y", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    assert_eq!(proxy.accept().await, got(1, &["b/x", "b/y", "p/a", "p/b"], &[]));
    plane.publish(&[("p/b", 1), ("b/y", 1), ("p/c", 1), ("b/z", 1)]);
    assert_eq!(proxy.accept().await, got(2, &["b/z", "p/c"], &["p/a", "b/x"]));
}

#[tokio::test]
async fn order_5_one_delta_at_a_time_and_changes_merge_meanwhile() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    let first = proxy.delta().await;
    plane.publish(&[("p/a", 2)]);
    plane.publish(&[("p/a", 2), ("p/b", 1)]);
    plane.publish(&[("p/a", 3), ("p/c", 1)]);
    proxy.hears_nothing().await;
    proxy.ack(first.nonce).await;
    assert_eq!(proxy.accept().await, got(2, &["p/a", "p/c"], &[]));
    proxy.hears_nothing().await;
}

#[tokio::test]
async fn order_5_a_proxy_that_never_answers_holds_up_no_other() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let mut silent = Proxy::subscribe(plane.address, "silent").await;
    silent.delta().await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    plane.publish(&[("p/a", 2)]);
    assert_eq!(proxy.accept().await, got(2, &["p/a"], &[]));
}

#[tokio::test]
async fn order_6_a_rejected_version_is_not_sent_again_on_this_stream_but_on_the_next() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    let before = proxy.held.get(&key("p/a")).cloned();
    plane.publish(&[("p/a", 2)]);
    let got_a = proxy.delta().await;
    proxy.nack(got_a.nonce, &key("p/a"), before).await;
    plane.publish(&[("p/a", 2), ("p/b", 1)]);
    assert_eq!(proxy.accept().await, got(3, &["p/b"], &[]), "not a again");
    let mut next = Proxy::resume(plane.address, "n", proxy.held.clone()).await;
    assert_eq!(next.accept().await, got(1, &["p/a"], &[]), "it does not hold a, so it is offered again");
}

#[tokio::test]
async fn order_6_another_version_of_a_rejected_resource_is_sent() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    let first = proxy.delta().await;
    proxy.nack(first.nonce, &key("p/a"), None).await;
    plane.publish(&[("p/a", 2)]);
    assert_eq!(proxy.accept().await, got(2, &["p/a"], &[]));
}

#[tokio::test]
async fn order_7_a_proxy_that_comes_back_gets_only_the_difference() {
    let plane = Plane::with(&[("p/a", 1), ("p/b", 1), ("b/x", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    let held = proxy.held.clone();
    drop(proxy);
    let replica = Plane::with(&[("p/a", 1), ("p/b", 2)]).await;
    let mut proxy = Proxy::resume(replica.address, "n", held).await;
    assert_eq!(proxy.accept().await, got(1, &["p/b"], &["b/x"]), "from another replica");
}

#[tokio::test]
async fn order_7_a_list_of_100000_resources_that_are_held_is_heard() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let held = (0..100_000).map(|i| (key(&format!("b/a-backend-with-a-rather-long-name-{i}")), vec![7; 16]));
    let mut proxy = Proxy::resume(plane.address, "n", held.collect()).await;
    let got = proxy.accept().await;
    assert_eq!((got.upserts.len(), got.removed.len(), proxy.held.len()), (1, 100_000, 1));
}

#[tokio::test]
async fn a_proxy_gets_and_counts_for_what_its_scope_covers_only() {
    let plane = Plane::scoped(Some(Scope::Only(["shop".into()].into()))).await;
    plane.publish(&[("p/shop/a", 1), ("b/shop/x", 1), ("p/blog/a", 1), ("b/blog/x", 1)]);
    let held = [key("p/shop/gone"), key("p/blog/a")].map(|key| (key, vec![7; 16])).into();
    let mut proxy = Proxy::resume(plane.address, "n", held).await;
    assert_eq!(proxy.accept().await, got(1, &["b/shop/x", "p/shop/a"], &["p/blog/a", "p/shop/gone"]));
    plane.node(|node| node["lastAck"]["nonce"] == 1).await;
    assert_eq!((plane.programmed(&key("p/shop/a")), plane.programmed(&key("p/blog/a"))), ((1, 1), (0, 0)));
    plane.publish(&[("p/shop/a", 1), ("b/shop/x", 1), ("p/blog/a", 2)]);
    proxy.hears_nothing().await;
    plane.publish(&[("p/shop/a", 2), ("p/blog/a", 3)]);
    assert_eq!(proxy.accept().await, got(2, &["p/shop/a"], &["b/shop/x"]));
}

#[tokio::test]
async fn order_8_reports_come_at_any_time_and_are_kept() {
    let plane = Plane::start().await;
    let proxy = Proxy::subscribe(plane.address, "n").await;
    let report = |state: pb::EndpointState| pb::EndpointReport {
        backend: Some((&key("b/x")).into()),
        address: "10.0.0.1:80".into(),
        state: state.into(),
        since_ms: 1_000,
        fails: 3,
        last_failure: "connect_failure".into(),
        left: 0,
    };
    proxy.say(Body::Report(pb::Report { full: true, endpoints: vec![report(pb::EndpointState::Ejected)] })).await;
    let node = plane.node(|node| node["endpointsDown"][0]["backend"] == "default/x").await;
    assert_eq!(node["endpointsDown"][0]["state"], "Ejected");
    assert_eq!(node["endpointsDown"][0]["since"], "1970-01-01T00:00:01Z");
    proxy.say(Body::Report(pb::Report { full: false, endpoints: vec![report(pb::EndpointState::Up)] })).await;
    plane.node(|node| node["endpointsDown"] == Value::Array(Vec::new())).await;
}

#[tokio::test]
async fn s4_the_last_ack_and_nack_of_each_proxy_are_known() {
    let plane = Plane::with(&[("p/a", 1)]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    let version = plane.snapshots.borrow().as_ref().unwrap().version().to_string();
    let node = plane.node(|node| node["lastAck"]["nonce"] == 1).await;
    assert_eq!(
        (node["id"].as_str(), node["build"].as_str(), &node["version"]),
        (Some("n"), Some("test"), &version.into())
    );
    assert!(node["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    plane.publish(&[("p/a", 2)]);
    let second = proxy.delta().await;
    proxy.nack(second.nonce, &key("p/a"), None).await;
    let node = plane.node(|node| !node["lastNack"].is_null()).await;
    let rejection = &node["lastNack"]["rejections"][0];
    assert_eq!((rejection["name"].as_str(), rejection["reason"].as_str()), (Some("a"), Some("spec.weight: too odd")));
}

#[tokio::test]
async fn s4_a_version_that_was_refused_never_counts_as_programmed_though_others_came_between() {
    let plane = Plane::with(&[]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    for weight in [1, 2, 1] {
        plane.publish(&[("p/a", weight)]);
        let nonce = proxy.delta().await.nonce;
        let version = plane.snapshots.borrow().as_ref().unwrap().get(&key("p/a")).unwrap().version;
        let of = || plane.nodes.progress().of(&key("p/a"), Some(version));
        assert_eq!((of().programmed, of().rejected.len()), (0, 0));
        proxy.nack(nonce, &key("p/a"), None).await;
        plane.node(|_| of().rejected.len() == 1).await;
        assert_eq!(of().programmed, 0);
    }
}

#[tokio::test]
async fn an_answer_to_nothing_ends_the_stream() {
    let plane = Plane::with(&[]).await;
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    proxy.ack(1).await;
    assert_eq!(proxy.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_node_that_comes_back_replaces_its_old_stream() {
    let plane = Plane::with(&[]).await;
    let mut old = Proxy::subscribe(plane.address, "n").await;
    old.accept().await;
    let mut new = Proxy::subscribe(plane.address, "n").await;
    new.accept().await;
    assert_eq!(old.end().await.code(), Code::Aborted);
    plane.node(|node| node["lastAck"]["nonce"] == 1).await;
    plane.publish(&[("p/a", 1)]);
    assert_eq!(new.accept().await, got(2, &["p/a"], &[]));
}

#[tokio::test]
async fn a_proxy_that_leaves_is_forgotten_and_a_stop_ends_every_stream() {
    let plane = Plane::with(&[]).await;
    let mut leaver = Proxy::subscribe(plane.address, "leaver").await;
    leaver.accept().await;
    drop(leaver);
    let mut proxy = Proxy::subscribe(plane.address, "n").await;
    proxy.accept().await;
    plane.node(|node| node["id"] == "n").await;
    plane.stop.cancel();
    assert_eq!(proxy.end().await.code(), Code::Unavailable);
}
