//! Real peers of gRPC: a server and a client of tonic, and both of Python's grpcio. `tests/grpc/talk.proto` says what the
//! server does.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_stream::iter;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::TlsClient;
use crate::manifest::repository;
use crate::program::Program;
use pb::Line;
use pb::talk_client::TalkClient;
use pb::talk_server::{Talk, TalkServer};

/// Generated messages; their documentation is in that file.
pub mod pb {
    #![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

    tonic::include_proto!("weir.test");
}

/// What a call that fails says: percent-encoded on its way, as it has bytes that a header cannot have.
pub const MESSAGE: &str = "as told: 100 % \u{e9}";

/// Streams that a server takes on one connection.
const STREAMS: u32 = 1000;

/// A server of tonic; ends when dropped.
#[derive(Debug)]
pub struct Speaker {
    address: SocketAddr,
    waiting: Arc<AtomicUsize>,
    task: AbortOnDropHandle<Result<(), tonic::transport::Error>>,
}

impl Speaker {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let waiting = Arc::<AtomicUsize>::default();
        let service = TalkServer::new(Talker { waiting: waiting.clone() });
        let server = Server::builder().max_concurrent_streams(Some(STREAMS)).add_service(service);
        let serving = server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        Self { address, waiting, task: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls that wait for ever.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Closes its listener.
    pub async fn stop(self) {
        self.task.abort();
        // How it ended does not matter.
        let _ = self.task.await;
    }
}

struct Talker {
    waiting: Arc<AtomicUsize>,
}

/// Counts a call that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tonic::async_trait]
impl Talk for Talker {
    type SplitStream = tokio_stream::Iter<std::vec::IntoIter<Result<Line, Status>>>;
    type ChatStream = Streaming<Line>;

    async fn say(&self, request: Request<Line>) -> Result<Response<Line>, Status> {
        let (metadata, _, line) = request.into_parts();
        if metadata.contains_key("x-wait") {
            self.waiting.fetch_add(1, SeqCst);
            let _waiting = Waiting(&self.waiting);
            pending::<()>().await;
        }
        failure(&metadata).map_or_else(|| Ok(tagged(&metadata, line)), Err)
    }

    async fn join(&self, request: Request<Streaming<Line>>) -> Result<Response<Line>, Status> {
        let (metadata, _, mut lines) = request.into_parts();
        let mut all = String::new();
        while let Some(line) = lines.message().await? {
            all += &line.text;
        }
        Ok(tagged(&metadata, Line { text: all }))
    }

    async fn split(&self, request: Request<Line>) -> Result<Response<Self::SplitStream>, Status> {
        let (metadata, _, line) = request.into_parts();
        let words: Vec<_> = line.text.split(' ').map(|word| Ok(Line { text: word.to_owned() })).collect();
        Ok(tagged(&metadata, iter(words)))
    }

    async fn chat(&self, request: Request<Streaming<Line>>) -> Result<Response<Self::ChatStream>, Status> {
        let (metadata, _, lines) = request.into_parts();
        Ok(tagged(&metadata, lines))
    }
}

fn tagged<T>(metadata: &MetadataMap, answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if let Some(tag) = metadata.get("x-tag") {
        response.metadata_mut().insert("x-tag", tag.clone());
    }
    response
}

fn failure(metadata: &MetadataMap) -> Option<Status> {
    let code = Code::from_bytes(metadata.get("x-fail")?.as_bytes());
    let mut trailers = MetadataMap::new();
    if let Some(tag) = metadata.get("x-tag") {
        trailers.insert("x-why", tag.clone());
    }
    Some(Status::with_metadata(code, MESSAGE, trailers))
}

/// A client of tonic with a connection of its own, to a server or to a proxy.
///
/// # Panics
/// If it cannot connect.
pub async fn client(address: SocketAddr) -> TalkClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address").tcp_nodelay(true);
    TalkClient::new(endpoint.connect().await.expect("a connection"))
}

/// The same over TLS.
///
/// # Panics
/// If it cannot connect.
pub async fn secure_client(tls: TlsClient, address: SocketAddr, host: &'static str) -> TalkClient<Channel> {
    let connector = service_fn(move |_: Uri| {
        let tls = tls.offering(&["h2"]);
        async move {
            let secure = tls.connect(address, host).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(secure.into_stream()))
        }
    });
    let origin = format!("https://{host}").parse().expect("a URI");
    let channel = Endpoint::from_static("http://localhost").origin(origin).connect_with_connector(connector).await;
    TalkClient::new(channel.expect("a connection"))
}

/// A server of grpcio, and where it listens; ends when dropped.
///
/// # Panics
/// If it does not start.
pub async fn python_server() -> (Program, SocketAddr) {
    let program = Program::spawn(python(&["serve"]).await);
    let line = program.line("serves at ").await;
    let address = line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("an address");
    (program, address)
}

/// Makes a call of each kind with a client of grpcio.
///
/// # Panics
/// If one goes wrong.
pub async fn python_calls(address: SocketAddr) {
    let output = python(&["call", &address.to_string()]).await.output().await.expect("a program that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// grpcio's peer, installed.
async fn python(arguments: &[&str]) -> Command {
    let folder = repository().join("tests/grpc");
    let installed = Command::new(folder.join("install")).output().await.expect("a script that starts");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let mut command = Command::new(String::from_utf8_lossy(&installed.stdout).trim());
    command.arg(folder.join("peer.py")).args(arguments).kill_on_drop(true);
    command
}
