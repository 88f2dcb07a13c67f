//! Wiring of the process: binds everything, starts the threads, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_proto::process::file_limit;

use crate::admin::{self, Admin};
use crate::config::{Config, Listen};
use crate::discovery::{self, Discovery};
use crate::drain::Drain;
use crate::health::clock::HealthClockTask;
use crate::health::probers::ProbersTask;
use crate::health::{HealthClock, Probers, TransitionSink};
use crate::listener::numbers::ConnectionNumbers;
use crate::listener::{Listener, Served};
use crate::pool::runtime::Environment;
use crate::readiness::Readiness;
use crate::stats::ProcessStats;
use crate::stats::access_log::{AccessLog, LogWriter, Target};
use crate::table::{Table, TableHandle};
use crate::tls::CertificateStore;
use crate::tls::folder::Folder;
use crate::worker::{Shared, Worker};

/// How long the end of the process waits for the newest table to be on disk.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Why the process cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken or not ours; names the flag.
    #[error("{flag}: {cause}")]
    Bind {
        /// The flag and its value.
        flag: String,
        /// Why.
        cause: io::Error,
    },
    /// The access log cannot be opened.
    #[error("--access-log: {0}")]
    AccessLog(io::Error),
    /// The folder of certificates cannot be read.
    #[error("--tls-dir {}: {cause}", folder.display())]
    TlsDir {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// DNS settings or certificates are refused.
    #[error(transparent)]
    Discovery(#[from] discovery::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A thread ended that should not have.
    #[error("the thread {0} ended by itself")]
    Ended(String),
}

/// A proxy whose addresses are bound but which serves nothing yet.
#[derive(Debug)]
pub struct Bound {
    /// Name and real address of each listener.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Real address of the admin server.
    pub admin: SocketAddr,
    sockets: Vec<Listener>,
    control: ControlThread,
    probers: ProbersTask,
    shared: Arc<Shared>,
    log: Option<LogWriter>,
    readiness: Readiness,
    leaving: Leaving,
    workers: usize,
}

/// Everything that runs on the control thread.
#[derive(Debug)]
struct ControlThread {
    discovery: Discovery,
    clock: HealthClockTask,
    admin: Admin,
    folder: Option<Folder>,
}

/// How long each step of leaving takes at most.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    delay: Duration,
    deadline: Duration,
}

/// Binds all addresses and puts the parts together.
///
/// # Errors
/// If an address is taken, or a file or DNS setting is refused.
pub fn bind(config: Config) -> Result<Bound, Error> {
    let workers = config.workers.get();
    file_limit::raise();
    let sockets = config.listeners.iter().map(|listen| listener(listen, workers)).collect::<Result<Vec<_>, _>>()?;
    let served: Arc<[Served]> = config.listeners.iter().map(Listen::served).collect();
    let stats = stats(&served, workers);
    let (log, writer) = access_log(config.access_log.as_ref(), &stats)?;
    let table: TableHandle = Arc::new(ArcSwap::from_pointee(Table::default()));
    let readiness = Readiness::default();
    let (certificates, folder) = certificates(config.tls_dir.as_ref(), &stats)?;
    let admin = admin(config.admin, admin::Sources::new(&table, &stats, &readiness))?;
    let (clock, clock_task) = HealthClock::new();
    let (transitions, transitions_seen) = TransitionSink::new();
    let (probers, probers_task) = Probers::new(rand::random());
    let environment = Environment { clock, probers, transitions, workers };
    let context = discovery::Context {
        listeners: served.clone(),
        table: table.clone(),
        certificates,
        environment,
        transitions: transitions_seen,
        readiness: readiness.clone(),
        stats: stats.clone(),
    };
    let leaving = Leaving { delay: config.drain_delay, deadline: config.drain_timeout };
    let (limits, trusted) = (config.limits.clone(), config.trusted_proxies.clone());
    let discovery = Discovery::new(settings(config), context)?;
    let shared = Shared {
        listeners: served,
        table,
        certificates: stats.certificates.clone(),
        stats,
        log,
        limits,
        trusted,
        crowd: Arc::default(),
        numbers: ConnectionNumbers::default(),
        drain: Drain::default(),
    };
    Ok(Bound {
        listeners: sockets.iter().map(|listener| (listener.name.clone(), listener.address)).collect(),
        admin: admin.address(),
        sockets,
        control: ControlThread { discovery, clock: clock_task, admin, folder },
        probers: probers_task,
        shared: Arc::new(shared),
        log: writer,
        readiness,
        leaving,
        workers,
    })
}

fn settings(config: Config) -> discovery::Settings {
    discovery::Settings {
        control_planes: config.control_planes,
        tls: config.control_plane_tls,
        node_id: config.node_id,
        cache_dir: config.cache_dir,
        dns_server: config.dns_server,
        seed: rand::random(),
    }
}

fn listener(listen: &Listen, workers: usize) -> Result<Listener, Error> {
    Listener::bind(listen.name.clone(), listen.address, workers)
        .map_err(|cause| Error::Bind { flag: format!("--listen {listen}"), cause })
}

fn admin(address: SocketAddr, sources: admin::Sources) -> Result<Admin, Error> {
    Admin::bind(address, sources).map_err(|cause| Error::Bind { flag: format!("--admin {address}"), cause })
}

fn stats(listeners: &[Served], workers: usize) -> Arc<ProcessStats> {
    let names: Vec<String> = listeners.iter().map(|listener| listener.name.clone()).collect();
    Arc::new(ProcessStats::new(&names, workers))
}

/// Certificates for clients, with those of the folder, if there is one.
fn certificates(folder: Option<&PathBuf>, stats: &ProcessStats) -> Result<(CertificateStore, Option<Folder>), Error> {
    let certificates = CertificateStore::new(stats.certificates.clone());
    let open = |path: &PathBuf| {
        let error = |cause| Error::TlsDir { folder: path.clone(), cause };
        Folder::open(path.clone(), certificates.clone()).map_err(error)
    };
    let folder = folder.map(open).transpose()?;
    Ok((certificates, folder))
}

fn access_log(target: Option<&Target>, stats: &Arc<ProcessStats>) -> Result<(AccessLog, Option<LogWriter>), Error> {
    let Some(target) = target else { return Ok((AccessLog::off(), None)) };
    let (log, writer) = AccessLog::start(target, stats.clone()).map_err(Error::AccessLog)?;
    Ok((log, Some(writer)))
}

impl Bound {
    /// Serves until `shutdown`, then leaves: not ready, a delay in which requests are still taken, then no
    /// new connections, and an end when the running requests have ended or the deadline has passed. Ends at once
    /// when it is dropped.
    ///
    /// # Errors
    /// If a thread cannot be started or ends by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { listeners, admin, sockets, control, probers, shared, log, readiness, leaving, workers } = self;
        info!(?listeners, %admin, workers, "data plane listens");
        let ending = Ending { drain: shared.drain.clone(), control: CancellationToken::new() };
        let stopped = ending.control.clone();
        let mut control_ended = pin!(Thread::start("weir-control", move || control_thread(control, stopped))?.ended());
        let mut probers_ended = pin!(Thread::start("weir-probers", move || probers_thread(probers))?.ended());
        let mut serving = start_workers(sockets, &shared, workers)?;
        let result = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = serving.join_next() => Err(Error::Ended(ended.unwrap_or_default())),
            name = &mut control_ended => Err(Error::Ended(name)),
            name = &mut probers_ended => Err(Error::Ended(name)),
        };
        // To the end: a proxy that has left must not look ready in its last moment.
        let _draining = readiness.block("draining");
        if result.is_ok() {
            leave(&shared.drain, leaving, &mut serving).await;
        }
        drop(ending);
        if result.is_ok() && timeout(LAST_WRITE, control_ended).await.is_err() {
            warn!("the newest table is not on disk yet");
        }
        if let Some(log) = log {
            log.finish();
        }
        result
    }
}

/// Ends every thread when it is dropped: nobody else would, after a caller that gave up waiting.
struct Ending {
    drain: Drain,
    control: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.drain.abort();
        self.control.cancel();
    }
}

/// The visible sequence of a graceful stop.
async fn leave(drain: &Drain, leaving: Leaving, serving: &mut JoinSet<String>) {
    info!(delay = ?leaving.delay, deadline = ?leaving.deadline, "leaving");
    drain.leave();
    sleep(leaving.delay).await;
    drain.close();
    let all_ended = async { while serving.join_next().await.is_some() {} };
    if timeout(leaving.deadline, all_ended).await.is_err() {
        warn!(workers = serving.len(), "the drain deadline has passed; what still runs is cut off");
    }
}

/// A thread, and how one learns that it ended.
struct Thread {
    name: String,
    ended: oneshot::Receiver<()>,
}

impl Thread {
    fn start(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Result<Self, Error> {
        let name = name.into();
        let (guard, ended) = oneshot::channel::<()>();
        let run = move || {
            // Dropped at the end and by a panic alike.
            let _guard = guard;
            body();
        };
        thread::Builder::new().name(name.clone()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { name, ended })
    }

    /// Waits for the end; gives the thread's name.
    async fn ended(self) -> String {
        let _ = self.ended.await;
        self.name
    }
}

fn start_workers(mut sockets: Vec<Listener>, shared: &Arc<Shared>, workers: usize) -> Result<JoinSet<String>, Error> {
    let mut threads = JoinSet::new();
    for id in 0..workers {
        let sockets: Vec<_> = sockets.iter_mut().filter_map(Listener::take_socket).collect();
        let shared = shared.clone();
        let seed = rand::random();
        let body = move || {
            let Some(runtime) = local_runtime() else { return };
            let worker = Worker::new(id, shared, seed);
            if let Err(error) = runtime.block_on(worker.run(sockets)) {
                warn!(%error, "a worker cannot use its sockets");
            }
        };
        threads.spawn(Thread::start(format!("weir-worker-{id}"), body)?.ended());
    }
    Ok(threads)
}

fn probers_thread(probers: ProbersTask) {
    if let Some(runtime) = local_runtime() {
        runtime.block_on(probers.run());
    }
}

/// For tasks that stay on their thread.
fn local_runtime() -> Option<runtime::LocalRuntime> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.inspect_err(|error| warn!(%error, "a thread cannot start")).ok()
}

fn control_thread(control: ControlThread, stop: CancellationToken) {
    let ControlThread { discovery, clock, admin, folder } = control;
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return warn!(%error, "the control thread cannot start"),
    };
    let followed = async {
        if let Some(folder) = folder {
            folder.run(stop.clone()).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            ((), (), ()) = async { tokio::join!(discovery.run(stop.clone()), admin.run(stop.clone()), followed) } => {}
            () = clock.run() => {}
        }
    });
}
