//! A control plane that does what the test does: sends proxies anything, good or bad, over real gRPC.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::model::{self, Key, Kind, ResourceName};
use weir_proto::pb::discovery_server::{Discovery, DiscoveryServer};
use weir_proto::pb::node_message::Body;
use weir_proto::pb::{self, Answer, Delta, NodeMessage, Rejection, Resource, Subscribe, resource};
use weir_proto::version::Version;

use crate::manifest::NAMESPACE;
use crate::within;

/// A control plane without a mind of its own; ends when dropped.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    sessions: mpsc::UnboundedReceiver<Session>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// One proxy's stream; ends when dropped.
pub struct Session {
    messages: Streaming<NodeMessage>,
    deltas: mpsc::Sender<Result<Delta, Status>>,
    nonce: u64,
}

impl Scripted {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (sender, sessions) = mpsc::unbounded_channel();
        let server = Server::builder().add_service(DiscoveryServer::new(Acceptor(sender)));
        Self { address, sessions, task: tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener))) }
    }

    /// Where proxies connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next proxy that comes, and what it says first.
    ///
    /// # Panics
    /// If none comes, or it does not subscribe.
    pub async fn accept(&mut self) -> (Session, Subscribe) {
        let mut session = within("a proxy", self.sessions.recv()).await.expect("a server that runs");
        match session.next().await {
            Body::Subscribe(subscribe) => (session, subscribe),
            other => panic!("{other:?} in place of a subscription"),
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    async fn next(&mut self) -> Body {
        let message = within("a message of the proxy", self.messages.message()).await;
        message.expect("a stream that is open").expect("a message").body.expect("a body")
    }

    /// Sends these resources in one delta; gives what the proxy refuses of them.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn deliver(&mut self, upserts: Vec<Resource>) -> Vec<Rejection> {
        self.send(Delta { upserts, ..Delta::default() }).await
    }

    /// Takes these resources away in one delta.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn remove(&mut self, resources: &[Resource]) {
        let removed = resources.iter().filter_map(|resource| resource.key.clone()).collect();
        self.send(Delta { removed, ..Delta::default() }).await;
    }

    async fn send(&mut self, delta: Delta) -> Vec<Rejection> {
        self.nonce += 1;
        let delta = Delta { nonce: self.nonce, last: true, ..delta };
        self.deltas.send(Ok(delta)).await.expect("a proxy that listens");
        loop {
            if let Body::Answer(Answer { nonce, rejected }) = self.next().await {
                assert_eq!(nonce, self.nonce, "the delta that is answered");
                return rejected;
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Acceptor(mpsc::UnboundedSender<Session>);

#[tonic::async_trait]
impl Discovery for Acceptor {
    type StreamStream = ReceiverStream<Result<Delta, Status>>;

    async fn stream(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Self::StreamStream>, Status> {
        let (deltas, receiver) = mpsc::channel(8);
        let session = Session { messages: request.into_inner(), deltas, nonce: 0 };
        self.0.send(session).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    /// Nobody informs the only control plane there is.
    async fn inform(&self, _: Request<Streaming<NodeMessage>>) -> Result<Response<pb::Informed>, Status> {
        Err(Status::already_exists("this replica serves the node itself"))
    }
}

/// A Pool of [`NAMESPACE`] that takes every request, as it goes over the wire, after `change`.
///
/// # Panics
/// If the name is none.
pub fn pool(name: &str, change: impl FnOnce(&mut pb::Pool)) -> Resource {
    let name = full_name(name);
    let mut body = resource::Body::from(&model::Pool::new(name.clone()));
    if let resource::Body::Pool(pool) = &mut body {
        change(pool);
    }
    resource(&Key::pool(name), body)
}

/// A Backend of [`NAMESPACE`], as it goes over the wire.
///
/// # Panics
/// If a name is none.
pub fn backend(name: &str, pool: &str, address: SocketAddr) -> Resource {
    let (name, address) = (full_name(name), address.to_string());
    let body = pb::Backend { pool: pool.to_owned(), address, weight: 1, enabled: true, ..pb::Backend::default() };
    resource(&Key::backend(name), resource::Body::Backend(body))
}

/// A Backend of [`NAMESPACE`] that names a Service, as it goes over the wire.
///
/// # Panics
/// If a name is none.
pub fn service_backend(name: &str, pool: &str) -> Resource {
    let name = full_name(name);
    let pool = pool.to_owned();
    let body = pb::Backend { pool, weight: 1, enabled: true, from_service: true, ..pb::Backend::default() };
    resource(&Key::backend(name), resource::Body::Backend(body))
}

/// An endpoint of a Service, as it goes over the wire.
pub fn endpoint(address: SocketAddr) -> pb::ServiceEndpoint {
    pb::ServiceEndpoint { address: address.to_string(), ..pb::ServiceEndpoint::default() }
}

/// One that is about to go.
pub fn terminating(address: SocketAddr) -> pb::ServiceEndpoint {
    pb::ServiceEndpoint { terminating: true, ..endpoint(address) }
}

/// The endpoints of the Service that a Backend of [`NAMESPACE`] names, as they go over the wire.
///
/// # Panics
/// If the name is none.
pub fn endpoints(backend: &str, endpoints: Vec<pb::ServiceEndpoint>) -> Resource {
    resource(&Key::endpoints(full_name(backend)), resource::Body::Endpoints(pb::Endpoints { endpoints }))
}

/// A Plugin of [`NAMESPACE`], as it goes over the wire.
///
/// # Panics
/// If the name is none.
pub fn plugin(name: &str, plugin: pb::Plugin) -> Resource {
    let key = Key { kind: Kind::Plugin, name: full_name(name) };
    resource(&key, resource::Body::Plugin(plugin))
}

/// A use of the Plugin of this name with this parameter, JSON or empty, as it goes over the wire.
pub fn plugin_use(name: &str, param: &str) -> pb::PluginUse {
    let plugin = Some(pb::plugin_use::Plugin::Name(name.to_owned()));
    pb::PluginUse { plugin, param: param.to_owned(), ..pb::PluginUse::default() }
}

fn full_name(name: &str) -> ResourceName {
    ResourceName::new(NAMESPACE, name).expect("a name")
}

fn resource(key: &Key, body: resource::Body) -> Resource {
    Resource { key: Some(key.into()), version: Version::of(&body).to_wire(), body: Some(body) }
}
