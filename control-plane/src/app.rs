//! Wiring: binds the ports, starts the tasks, and stops them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use weir_proto::process::file_limit;
use weir_proto::tls;

use crate::admin;
use crate::config::{Config, Listen};
use crate::discovery::{Arrivals, Context, Nodes, Service};
use crate::kube_api::access::Access;
use crate::kube_api::{Absent, Files, KubeApi};
use crate::metrics::Metrics;
use crate::mtls::{self, Refusals};
use crate::objects::Objects;
use crate::publish::Publisher;
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::source::any::{AnySource, OpenError};
use crate::source::file::FileSource;
use crate::status::{Board, Cluster, LineSink, ObjectsSink, Sources, StatusSink, report};

/// Batches of changes on their way to the publisher.
const BATCHES: usize = 64;

/// Connections that wait to be accepted: when a replica dies, all its proxies come at once. With 128 some of a thousand
/// were reset.
const BACKLOG: u32 = 4096;

/// A proxy that is gone without a word is noticed within the sum of both.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// After this a client that does not let go is left behind.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Why the control plane cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing that resources can come from.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// An address cannot be listened on.
    #[error("{} {}: {}", listen.flag, listen.address, explain(cause))]
    Listen {
        /// Which address.
        listen: Listen,
        /// Why.
        cause: io::Error,
    },
    /// The certificates for proxies cannot be used.
    #[error("--grpc-tls {}: {cause}", folder.display())]
    Tls {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        cause: tls::Error,
    },
    /// There is no token for the API.
    #[error("--api-token-file {}: {cause}", file.display())]
    Token {
        /// Its file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Two metric families have the same name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The gRPC server failed.
    #[error("gRPC server: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// A task ended that should not have.
    #[error("task {0} ended")]
    Ended(&'static str),
    /// A task panicked.
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        _ => error.to_string(),
    }
}

/// A control plane whose ports are bound and whose source is there.
#[derive(Debug)]
pub struct Bound {
    /// Where proxies connect.
    pub grpc: SocketAddr,
    /// Where people and probes look.
    pub admin: SocketAddr,
    grpc_listener: TcpListener,
    admin_listener: TcpListener,
    source: AnySource,
    /// Where statuses are written, if resources come from there.
    cluster: Option<Cluster>,
    publisher: Publisher,
    sources: Sources,
    metrics: Arc<Metrics>,
    tls: Option<Tls>,
    api: Result<Files, Absent>,
}

/// The certificates for proxies, and who follows their files.
type Tls = (Arc<tls::Current<ServerConfig>>, tls::Follower<ServerConfig>);

/// Binds the ports and opens the source.
///
/// # Errors
/// Names the flag, folder or cluster that is wrong.
pub async fn bind(config: Config) -> Result<Bound, Error> {
    let Config { source, grpc, grpc_tls, admin, api_token_file, lease } = config;
    file_limit::raise();
    let metrics = Arc::new(Metrics::new()?);
    let tls = grpc_tls.map(|folder| open_tls(folder, &metrics)).transpose()?;
    let mut source = AnySource::open(source, metrics.clone()).await?;
    let cluster = source.kubernetes().map(|source| Cluster::new(source, lease, metrics.clone())).transpose()?;
    let (grpc_listener, grpc) = listen(grpc)?;
    let (admin_listener, admin) = listen(admin)?;
    let access = access(admin, api_token_file)?;
    let board = Arc::new(Board::default());
    let (publisher, api) = match &mut source {
        AnySource::Folder(source) => publish_folder(source, access, board.clone()),
        AnySource::Kubernetes(source) => {
            (Publisher::in_cluster(board.clone(), source.wanted().clone()), Err(Absent::Cluster))
        }
    };
    let nodes = Arc::new(Nodes::new(metrics.clone()));
    let sources = Sources { board, nodes, snapshot: publisher.subscribe() };
    Ok(Bound { grpc, admin, grpc_listener, admin_listener, source, cluster, publisher, sources, metrics, tls, api })
}

fn access(admin: SocketAddr, token_file: Option<PathBuf>) -> Result<Option<Access>, Error> {
    let file = token_file.clone().unwrap_or_default();
    Access::new(admin.ip(), token_file).map_err(|cause| Error::Token { file, cause })
}

/// The publisher of a folder, and what its API needs, if there is one.
fn publish_folder(
    source: &mut FileSource,
    access: Option<Access>,
    board: Arc<Board>,
) -> (Publisher, Result<Files, Absent>) {
    let publisher = Publisher::new(board);
    let Some(access) = access else {
        tracing::info!("no API for kubectl: it needs --api-token-file, or an address on loopback");
        return (publisher, Err(Absent::Open));
    };
    let objects = Arc::new(Objects::open(source.folder()));
    let files = Files {
        access,
        folder: source.folder().to_owned(),
        objects: objects.clone(),
        editor: source.editor(),
        snapshot: publisher.subscribe(),
        writing: Mutex::default(),
    };
    (publisher.with_objects(Some(objects)), Ok(files))
}

fn open_tls(folder: PathBuf, metrics: &Metrics) -> Result<Tls, Error> {
    let (current, follower) = tls::open(&folder).map_err(|cause| Error::Tls { folder, cause })?;
    metrics.show_expiry(current.clone())?;
    Ok((current, follower))
}

fn listen(listen: Listen) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = || {
        let socket = if listen.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(listen.address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|cause| Error::Listen { listen, cause })
}

impl Bound {
    /// The newest snapshot; `None` before the first.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.sources.snapshot.clone()
    }

    /// Serves until `stop` is cancelled; what is wrong with resources goes to the log, and in a cluster into their
    /// statuses.
    ///
    /// # Errors
    /// If a part fails while it should run.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let Some(cluster) = self.cluster.take() else { return self.run_with(LineSink::log(), stop).await };
        let stop = stop.child_token();
        let (sink, writer) = cluster.start(LineSink::log(), stop.clone());
        let serving = async {
            let result = self.run_with(sink, stop.clone()).await;
            stop.cancel();
            result
        };
        let (result, ()) = tokio::join!(Box::pin(serving), Box::pin(writer));
        result
    }

    /// As [`Bound::run`], with each change of a status going to `sink`.
    ///
    /// # Errors
    /// As for [`Bound::run`].
    pub async fn run_with(self, sink: impl StatusSink, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            grpc,
            admin,
            grpc_listener,
            admin_listener,
            source,
            cluster: _,
            publisher,
            sources,
            metrics,
            tls,
            api,
        } = self;
        tracing::info!(%grpc, %admin, "control plane listens");
        // Ends every task, also when one of them fails.
        let stop = stop.child_token();
        let mut tasks = JoinSet::new();
        let (to_publisher, batches) = mpsc::channel(BATCHES);
        spawn(&mut tasks, "source", source.run(to_publisher, stop.clone()));
        spawn(&mut tasks, "publisher", publisher.run(batches));
        let sink = ObjectsSink { objects: api.as_ref().ok().map(|files| files.objects.clone()), inner: sink };
        spawn(&mut tasks, "status", report(sources.clone(), sink, stop.clone()));
        let api = Arc::new(KubeApi::new(api, stop.clone()));
        let admin = admin::Admin::new(sources.clone(), metrics.clone(), api);
        spawn(&mut tasks, "admin", admin::serve(admin, admin_listener, stop.clone()));
        let Sources { board: _, nodes, snapshot } = sources;
        let context = Context { snapshot, nodes, arrivals: Arrivals::default(), metrics, stop: stop.clone() };
        let tls = tls.map(|(current, follower)| {
            spawn(&mut tasks, "certificates", follower.run(stop.clone()));
            current
        });
        let proxies = Proxies { listener: grpc_listener, tls };
        tasks.spawn(async move { serve(context, proxies).await.map(|()| "gRPC") });
        supervise(tasks, &stop).await
    }
}

fn spawn(
    tasks: &mut JoinSet<Result<&'static str, Error>>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        task.await;
        Ok(name)
    });
}

/// Waits for all tasks. The first that ends before its time, or fails, ends the others.
async fn supervise(mut tasks: JoinSet<Result<&'static str, Error>>, stop: &CancellationToken) -> Result<(), Error> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let result = match ended {
            Ok(Ok(_)) if stop.is_cancelled() => Ok(()),
            Ok(Ok(name)) => Err(Error::Ended(name)),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        };
        stop.cancel();
        outcome = outcome.and(result);
    }
    outcome
}

/// Where proxies come from.
struct Proxies {
    listener: TcpListener,
    tls: Option<Arc<tls::Current<ServerConfig>>>,
}

/// Serves proxies until stopped, and then for as long as they take to let go, within limits: a client that never
/// says a word is no reason to stay.
async fn serve(context: Context, proxies: Proxies) -> Result<(), Error> {
    let stop = context.stop.clone();
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        result = serve_to_the_end(context, proxies) => result,
        () = overdue => {
            tracing::warn!("a gRPC client does not let go, and is left behind");
            Ok(())
        }
    }
}

async fn serve_to_the_end(context: Context, proxies: Proxies) -> Result<(), Error> {
    let stop = context.stop.clone().cancelled_owned();
    let sessions = TaskTracker::new();
    let refusals = Arc::new(Refusals::new(&context.metrics));
    let to_sessions = refusals.clone();
    let service = Service::new(context, sessions.clone()).into_server();
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
        .add_service(InterceptedService::new(service, move |request| mtls::admit(request, &to_sessions)));
    match proxies.tls {
        None => {
            let incoming = TcpIncoming::from(proxies.listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(incoming, stop).await?;
        }
        Some(tls) => {
            let incoming = mtls::incoming::connections(proxies.listener, tls, refusals);
            server.serve_with_incoming_shutdown(incoming, stop).await?;
        }
    }
    sessions.close();
    sessions.wait().await;
    Ok(())
}
