//! The whole of discovery against a control plane played by the test, over real gRPC.

use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::DropGuard;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::model::{self, Key, Kind, PoolProtocol};
use weir_proto::pb;
use weir_proto::pb::discovery_server::{Discovery as Service, DiscoveryServer};
use weir_proto::pb::node_message::Body;
use weir_proto::version::Version;

use super::*;
use crate::health::{HealthClock, TransitionSink};
use crate::pool::{InFlight, PoolRuntime};
use crate::reason::Reason;
use crate::table::Table;
use crate::tls::CertificateStore;

const DEADLINE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(DEADLINE, poll).await.is_ok(), "waited in vain until {what}");
}

/// The control plane's end of one stream.
struct Stream {
    messages: Streaming<pb::NodeMessage>,
    deltas: mpsc::Sender<Result<pb::Delta, Status>>,
    nonce: u64,
}

impl Stream {
    async fn next(&mut self) -> Body {
        within(self.messages.message()).await.unwrap().unwrap().body.unwrap()
    }

    async fn subscribe(&mut self) -> pb::Subscribe {
        match self.next().await {
            Body::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a delta of one chunk; gives what was refused.
    async fn deliver(&mut self, upserts: Vec<pb::Resource>, removed: Vec<pb::Key>) -> Vec<pb::Rejection> {
        self.nonce += 1;
        let snapshot_version = Version::of_parts([&self.nonce.to_be_bytes()[..]]).to_wire();
        let delta = pb::Delta { nonce: self.nonce, upserts, removed, last: true, snapshot_version };
        self.deltas.send(Ok(delta)).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> Vec<pb::Rejection> {
        loop {
            match self.next().await {
                Body::Answer(answer) => {
                    assert_eq!(answer.nonce, self.nonce);
                    return answer.rejected;
                }
                Body::Report(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn report(&mut self) -> pb::Report {
        match self.next().await {
            Body::Report(report) => report,
            other => panic!("{other:?}"),
        }
    }
}

/// The end of a stream that informs.
type Informs = Streaming<pb::NodeMessage>;

#[derive(Debug)]
struct Acceptor {
    streams: mpsc::UnboundedSender<Stream>,
    informs: mpsc::UnboundedSender<Informs>,
}

#[tonic::async_trait]
impl Service for Acceptor {
    type StreamStream = ReceiverStream<Result<pb::Delta, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (deltas, receiver) = mpsc::channel(8);
        self.streams.send(Stream { messages: request.into_inner(), deltas, nonce: 0 }).unwrap();
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    /// Without an end.
    async fn inform(&self, request: Request<Informs>) -> Result<Response<pb::Informed>, Status> {
        self.informs.send(request.into_inner()).unwrap();
        std::future::pending().await
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("nonce", &self.nonce).finish()
    }
}

/// A control plane that does what the test does.
struct ControlPlane {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<Stream>,
    informs: mpsc::UnboundedReceiver<Informs>,
}

impl ControlPlane {
    async fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn serve(socket: TcpListener) -> Self {
        let address = socket.local_addr().unwrap();
        let (to_streams, streams) = mpsc::unbounded_channel();
        let (to_informs, informs) = mpsc::unbounded_channel();
        let acceptor = Acceptor { streams: to_streams, informs: to_informs };
        let server = Server::builder().add_service(DiscoveryServer::new(acceptor));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(socket)));
        Self { address, streams, informs }
    }

    async fn stream(&mut self) -> Stream {
        within(self.streams.recv()).await.unwrap()
    }
}

/// Discovery of a proxy with one listener, running.
struct Node {
    table: TableHandle,
    readiness: Readiness,
    stats: Arc<ProcessStats>,
    stop: DropGuard,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    fn start(control_plane: SocketAddr, cache: Option<&TempDir>) -> Self {
        Self::start_at(&[control_plane], cache)
    }

    fn start_at(control_planes: &[SocketAddr], cache: Option<&TempDir>) -> Self {
        let table: TableHandle = Arc::new(ArcSwap::from_pointee(Table::default()));
        let (transitions, seen) = TransitionSink::new();
        let (clock, clock_task) = HealthClock::new();
        tokio::spawn(clock_task.run());
        let readiness = Readiness::default();
        let stats = Arc::new(ProcessStats::new(&["http".to_owned()], 1));
        let listener = Served { name: "http".into(), protocol: PoolProtocol::Http, tls: false, proxy: false };
        let context = Context {
            listeners: Arc::new([listener]),
            table: table.clone(),
            certificates: CertificateStore::default(),
            environment: Environment { clock, transitions, ..Environment::without_tasks(1) },
            transitions: seen,
            readiness: readiness.clone(),
            stats: stats.clone(),
        };
        let settings = Settings {
            control_planes: control_planes.iter().map(|address| format!("http://{address}").parse().unwrap()).collect(),
            tls: None,
            node_id: "node".into(),
            admin_port: 9900,
            cache_dir: cache.map(|folder| folder.path().to_owned()),
            dns_server: None,
            seed: 1,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(Discovery::new(settings, context).unwrap().run(stop.clone()));
        Self { table, readiness, stats, stop: stop.drop_guard(), task }
    }

    async fn stop(self) {
        drop(self.stop);
        within(self.task).await.unwrap();
    }

    /// The run-time state of the only pool.
    fn runtime(&self) -> Arc<PoolRuntime> {
        self.table.load().pools.iter().next().unwrap().runtime.clone()
    }

    fn backends(&self, pool: &str) -> Vec<String> {
        let table = self.table.load();
        let Some(pool) = table.pools.get(&pool.parse().unwrap()) else { return Vec::new() };
        pool.runtime.members().iter().map(|m| m.endpoint.backend.name().to_owned()).collect()
    }
}

fn pool(name: &str) -> pb::Resource {
    let config = model::Pool::new(name.parse().unwrap());
    resource(Key::pool(config.name.clone()), (&config).into())
}

fn backend(name: &str, pool: &str, address: &str) -> pb::Resource {
    let config = model::Backend {
        name: name.parse().unwrap(),
        pool: pool.parse().unwrap(),
        address: model::Address::parse(address).unwrap(),
        weight: 1,
        enabled: true,
        labels: Default::default(),
        score: 0,
        role: model::Role::default(),
        capacity: 0,
        protocol: Default::default(),
        proxy_protocol: None,
        tls: None,
    };
    resource(Key::backend(config.name.clone()), (&config).into())
}

fn resource(key: Key, body: pb::resource::Body) -> pb::Resource {
    pb::Resource { key: Some((&key).into()), version: Version::of(&body).to_wire(), body: Some(body) }
}

/// A backend whose address is none.
fn broken(name: &str) -> pb::Resource {
    let mut resource = backend(name, "a/web", "127.0.0.1:1");
    if let Some(pb::resource::Body::Backend(backend)) = &mut resource.body {
        backend.address = "nowhere".into();
    }
    pb::Resource { version: vec![7; 16], ..resource }
}

fn web() -> Vec<pb::Resource> {
    vec![backend("a/web-1", "a/web", "127.0.0.1:1"), pool("a/web")]
}

#[tokio::test]
async fn s3_ready_with_the_first_delta_even_an_empty_one() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    let subscribe = stream.subscribe().await;
    assert_eq!((subscribe.node_id.as_str(), subscribe.held.len(), subscribe.admin_port), ("node", 0, 9900));
    assert_eq!(node.readiness.missing(), ["first table"]);
    assert_eq!(stream.deliver(vec![], vec![]).await, vec![]);
    assert!(node.readiness.missing().is_empty());
    let version = node.stats.discovery.table.lock().as_ref().unwrap().version.clone();
    assert_eq!(version.len(), 32);
}

#[tokio::test]
async fn order_3_chunks_go_live_together_and_are_answered_once() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.nonce = 9;
    for (resource, last) in web().into_iter().zip([false, true]) {
        assert!(node.backends("a/web").is_empty());
        let delta = pb::Delta { nonce: 9, upserts: vec![resource], last, ..pb::Delta::default() };
        stream.deltas.send(Ok(delta)).await.unwrap();
    }
    assert_eq!(stream.answer().await, vec![]);
    assert_eq!(node.backends("a/web"), ["web-1"]);
}

#[tokio::test]
async fn s1_s4_a_bad_resource_is_refused_by_name_and_its_last_good_version_stays() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    let rejected = stream.deliver(vec![broken("a/web-1"), backend("a/web-2", "a/web", "127.0.0.1:2")], vec![]).await;
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].key.as_ref().unwrap().name.as_str(), &rejected[0].version), ("web-1", &vec![7; 16]));
    assert!(rejected[0].reason.contains("spec.address"), "{}", rejected[0].reason);
    assert_eq!(node.backends("a/web"), ["web-1", "web-2"]);
    let nacks = &node.stats.discovery.nacks[Kind::Backend as usize];
    assert_eq!(nacks.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop(stream);
    let held = control.stream().await.subscribe().await.held;
    assert!(held.iter().all(|held| held.version != vec![7; 16]), "a refused version is not held");
}

fn service(backend: &str, ports: &[u16]) -> pb::Resource {
    let endpoint = |port: &u16| model::ServiceEndpoint {
        address: ([127, 0, 0, 1], *port).into(),
        terminating: false,
        labels: Default::default(),
    };
    let name: model::ResourceName = backend.parse().unwrap();
    let endpoints = model::Endpoints { name: name.clone(), endpoints: ports.iter().map(endpoint).collect() };
    resource(Key::endpoints(name), (&endpoints).into())
}

fn service_backend(name: &str, pool: &str) -> pb::Resource {
    let mut resource = backend(name, pool, "127.0.0.1:1");
    if let Some(pb::resource::Body::Backend(backend)) = &mut resource.body {
        backend.address.clear();
        backend.from_service = true;
    }
    resource
}

#[tokio::test]
async fn c5_s5_endpoints_alone_change_their_pool_and_no_route() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    let all = vec![service("a/x", &[1, 2]), service_backend("a/x", "a/web"), pool("a/web")];
    assert_eq!(stream.deliver(all, vec![]).await, vec![]);
    let (table, runtime) = (node.table.load_full(), node.runtime());
    let members = || runtime.members();
    let first = members();
    (0..3).for_each(|_| runtime.fail(&first[1].endpoint, Reason::Timeout));
    assert_eq!(stream.deliver(vec![service("a/x", &[2, 3])], vec![]).await, vec![]);
    assert!(Arc::ptr_eq(&table, &node.table.load_full()), "the very same table");
    assert_eq!(
        members().iter().map(|member| member.endpoint.address.socket().unwrap().port()).collect::<Vec<_>>(),
        [2, 3]
    );
    assert!(Arc::ptr_eq(&members()[0].endpoint, &first[1].endpoint) && !members()[0].is_up(), "with all its state");
    stream.deliver(vec![], vec![(&Key::endpoints("a/x".parse().unwrap())).into()]).await;
    assert!(members().is_empty() && Arc::ptr_eq(&table, &node.table.load_full()));
}

#[tokio::test]
async fn s2_on_reconnect_it_says_what_it_holds_and_keeps_it_meanwhile() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    let connected = || node.stats.discovery.connected.load(std::sync::atomic::Ordering::Relaxed);
    assert!(connected());
    drop(stream);
    let mut stream = control.stream().await;
    let held = stream.subscribe().await.held;
    let versions: Vec<_> = held.iter().map(|held| held.version.clone()).collect();
    // In the order of keys, pools first.
    assert_eq!(versions, [web()[1].version.clone(), web()[0].version.clone()]);
    assert_eq!(node.backends("a/web"), ["web-1"]);
    assert!(node.readiness.missing().is_empty());
    let removed = vec![(&Key::backend("a/web-1".parse().unwrap())).into()];
    stream.deliver(vec![], removed).await;
    assert!(node.backends("a/web").is_empty());
}

#[tokio::test]
async fn s2_a_proxy_starts_from_the_table_on_disk_and_asks_for_the_difference_only() {
    let folder = TempDir::new().unwrap();
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, Some(&folder));
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    node.stop().await;
    drop(control);
    // Nobody listens there.
    let alone = Node::start("127.0.0.1:1".parse().unwrap(), Some(&folder));
    eventually("ready without a control plane", || alone.readiness.missing().is_empty()).await;
    assert_eq!(alone.backends("a/web"), ["web-1"]);
    alone.stop().await;
    let mut control = ControlPlane::start().await;
    let _node = Node::start(control.address, Some(&folder));
    assert_eq!(control.stream().await.subscribe().await.held.len(), 2);
}

#[tokio::test]
async fn s2_it_tries_again_until_there_is_a_control_plane() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::start(socket.local_addr().unwrap(), None);
    for _ in 0..3 {
        drop(within(socket.accept()).await.unwrap());
    }
    assert_eq!(node.readiness.missing(), ["first table"]);
    let mut control = ControlPlane::serve(socket);
    control.stream().await.subscribe().await;
}

#[tokio::test]
async fn s2_a_stream_that_came_of_age_goes_on_elsewhere_with_what_is_held() {
    let (mut one, mut other) = (ControlPlane::start().await, ControlPlane::start().await);
    let node = Node::start_at(&[one.address, other.address], None);
    let mut seen = [0, 0];
    // By chance it goes to either, also to the one that it comes from; 20 times to the same is one in 500,000.
    for round in 0..20 {
        let (which, mut stream) = tokio::select! {
            stream = one.stream() => (0, stream),
            stream = other.stream() => (1, stream),
        };
        seen[which] += 1;
        assert_eq!(stream.subscribe().await.held.len(), if round == 0 { 0 } else { 2 });
        stream.deliver(if round == 0 { web() } else { vec![] }, vec![]).await;
        stream.deltas.send(Err(weir_proto::age::come_of_age())).await.unwrap();
        if seen.iter().all(|count| *count > 0) {
            assert_eq!(node.backends("a/web"), ["web-1"]);
            return;
        }
    }
    panic!("{seen:?}");
}

/// The next message of a stream that informs.
async fn told(informs: &mut Informs) -> Body {
    within(informs.message()).await.unwrap().unwrap().body.unwrap()
}

/// The next change of what is held: what is new, what is gone, what was refused.
async fn change(informs: &mut Informs) -> [Vec<String>; 3] {
    let name = |key: Option<pb::Key>| key.unwrap().name;
    loop {
        match told(informs).await {
            Body::Holding(pb::Holding { held, gone, refused }) => {
                let held = held.into_iter().map(|held| name(held.key)).collect();
                let gone = gone.into_iter().map(|key| key.name).collect();
                return [held, gone, refused.into_iter().map(|rejection| name(rejection.key)).collect()];
            }
            Body::Report(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn order_10_replicas_that_do_not_serve_are_told_what_is_held_and_how_the_endpoints_are() {
    let (mut one, mut other) = (ControlPlane::start().await, ControlPlane::start().await);
    let node = Node::start_at(&[one.address, other.address], None);
    let mut stream = tokio::select! {
        stream = one.stream() => stream,
        stream = other.stream() => {
            std::mem::swap(&mut one, &mut other);
            stream
        }
    };
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    let mut informs = within(other.informs.recv()).await.unwrap();
    let Body::Subscribe(subscribe) = told(&mut informs).await else { panic!("a Subscribe comes first") };
    assert_eq!((subscribe.node_id.as_str(), subscribe.held.len()), ("node", 2));
    assert_eq!(change(&mut informs).await, [vec![], vec![], vec![]] as [Vec<String>; 3]);
    let Body::Report(report) = told(&mut informs).await else { panic!("a report") };
    assert!(report.full && report.endpoints[0].state() == pb::EndpointState::Up);

    let gone = (&Key::backend("a/web-1".parse().unwrap())).into();
    stream.deliver(vec![broken("a/web-2"), backend("a/web-3", "a/web", "127.0.0.1:3")], vec![gone]).await;
    assert_eq!(
        change(&mut informs).await,
        [["web-3"], ["web-1"], ["web-2"]].map(|names| names.map(str::to_owned).to_vec())
    );

    // A replica that serves is not told in this way as well.
    drop((stream, one));
    let mut stream = other.stream().await;
    stream.subscribe().await;
    stream.deliver(vec![], vec![]).await;
    while let Ok(Some(_)) = within(informs.message()).await {}
    node.stop().await;
}

#[tokio::test]
async fn a_stream_that_breaks_the_rules_of_order_is_given_up() {
    let mut control = ControlPlane::start().await;
    let _node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    for nonce in [1, 2] {
        stream.deltas.send(Ok(pb::Delta { nonce, ..pb::Delta::default() })).await.unwrap();
    }
    control.stream().await.subscribe().await;
}

#[tokio::test]
async fn t2_each_stream_begins_with_a_full_report_and_transitions_follow() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    let report = stream.report().await;
    assert!(report.full);
    assert_eq!(report.endpoints[0].state(), pb::EndpointState::Up);
    let runtime = node.runtime();
    let endpoint = runtime.members()[0].endpoint.clone();
    (0..3).for_each(|_| runtime.fail(&endpoint, Reason::Timeout));
    let report = stream.report().await;
    assert_eq!((report.full, report.endpoints.len()), (false, 1));
    assert_eq!(report.endpoints[0].state(), pb::EndpointState::Ejected);
    assert_eq!(report.endpoints[0].last_failure, "timeout");
    drop(stream);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(vec![], vec![]).await;
    assert!(stream.report().await.full);
}

#[tokio::test]
async fn s6_the_control_plane_learns_when_a_removed_backend_has_drained() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(web(), vec![]).await;
    assert!(stream.report().await.full);
    let endpoint = node.runtime().members()[0].endpoint.clone();
    let running = InFlight::start(endpoint, 0);
    stream.deliver(vec![], vec![(&Key::backend("a/web-1".parse().unwrap())).into()]).await;
    assert_eq!(stream.report().await.endpoints[0].state(), pb::EndpointState::Draining);
    drop(running);
    assert_eq!(stream.report().await.endpoints[0].state(), pb::EndpointState::Gone);
}

#[tokio::test]
async fn u1_names_are_resolved_before_it_is_ready() {
    let mut control = ControlPlane::start().await;
    let node = Node::start(control.address, None);
    let mut stream = control.stream().await;
    stream.subscribe().await;
    stream.deliver(vec![backend("a/web-1", "a/web", "localhost:80"), pool("a/web")], vec![]).await;
    eventually("localhost has an answer", || node.readiness.missing().is_empty()).await;
    assert!(!node.backends("a/web").is_empty());
}
