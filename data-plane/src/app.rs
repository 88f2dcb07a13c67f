//! Wiring of the process: binds everything, starts the threads, and ends them in order.

mod open;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::{About, Admin, Sources};
use crate::config::{Config, Listen};
use crate::discovery::{self, Discovery};
use crate::drain::Drain;
use crate::explain::Explainer;
use crate::handover::{Inherited, Sockets};
use crate::health::clock::HealthClockTask;
use crate::health::probers::ProbersTask;
use crate::health::{HealthClock, Probers, TransitionSink};
use crate::listener::Served;
use crate::listener::numbers::ConnectionNumbers;
use crate::pool::runtime::Environment;
use crate::readiness::Readiness;
use crate::stats::access_log::{self, AccessLog, LogWriter};
use crate::stats::{ProcessStats, Recent};
use crate::table::TableHandle;
use crate::tls::CertificateStore;
use crate::tls::folder::Folder;
use crate::trace::{self, Exporter, Tracer};
use crate::worker::{Shared, Worker};
use open::{Opened, Share};

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
    /// Nobody could have it opened anew.
    #[error("cannot listen to SIGHUP: {0}")]
    Signal(io::Error),
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
    /// Listening sockets cannot be copied.
    #[error("cannot copy the sockets of listeners: {0}")]
    Sockets(io::Error),
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
    /// What it listens with, until it stops listening.
    pub sockets: Sockets,
    /// Whether it is ready.
    pub readiness: Readiness,
    shares: Vec<Share>,
    /// Whether another process serves until this one is ready.
    served: bool,
    control: ControlThread,
    probers: ProbersTask,
    shared: Arc<Shared>,
    log: Option<LogWriter>,
    leaving: Leaving,
}

/// What tells a proxy to end.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    /// It is to leave.
    pub stop: CancellationToken,
    /// Another process listens in its place.
    pub replaced: CancellationToken,
}

/// Everything that runs on the control thread.
#[derive(Debug)]
struct ControlThread {
    discovery: Discovery,
    clock: HealthClockTask,
    admin: Admin,
    folder: Option<Folder>,
    exporter: Option<Exporter>,
    recent: Recent,
    table: TableHandle,
    stats: Arc<ProcessStats>,
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
    bind_with(config, Inherited::default())
}

/// As [`bind`], with these sockets in place of those that it would bind.
///
/// # Errors
/// As for [`bind`].
pub fn bind_with(config: Config, inherited: Inherited) -> Result<Bound, Error> {
    let opened = Opened::new(&config, inherited)?;
    let served: Arc<[Served]> = config.listeners.iter().map(Listen::served).collect();
    let stats = stats(&served, config.workers.get());
    let (log, writer) = access_log(config.access_log.as_ref(), &stats)?;
    let (tracer, exporter) = tracer(config.trace.as_ref(), &stats);
    let (table, readiness) = (TableHandle::default(), Readiness::default());
    let (certificates, folder) = certificates(config.tls_dir.as_ref(), &stats)?;
    let (clock, clock_task) = HealthClock::new();
    let (transitions, transitions_seen) = TransitionSink::new();
    let (probers, probers_task) = Probers::new(rand::random());
    let (transition_log, recent) = (transitions.log(), Recent::default());
    let context = discovery::Context {
        listeners: served.clone(),
        table: table.clone(),
        certificates,
        environment: Environment { clock, probers, transitions, workers: config.workers.get() },
        transitions: transitions_seen,
        readiness: readiness.clone(),
        stats: stats.clone(),
    };
    let leaving = Leaving { delay: config.drain_delay, deadline: config.drain_timeout };
    let admin_address = opened.admin.local_addr().map_err(Error::Sockets)?;
    let about = About { node_id: config.node_id.clone(), since: Timestamp::now() };
    let shared = shared(&config, served, &table, &stats, (log, tracer));
    let discovery = Discovery::new(settings(config, admin_address.port()), context)?;
    let sources = Sources {
        table: table.clone(),
        stats: stats.clone(),
        readiness: readiness.clone(),
        recent: recent.clone(),
        transitions: transition_log,
        control: discovery.handle(),
        about,
        explainer: Explainer::start(shared.clone()).map_err(Error::Thread)?,
    };
    let admin = Admin::new(opened.admin, sources).map_err(Error::Sockets)?;
    let control = ControlThread { discovery, clock: clock_task, admin, folder, exporter, recent, table, stats };
    Ok(Bound {
        listeners: opened.listeners,
        admin: admin_address,
        sockets: opened.sockets,
        readiness,
        shares: opened.shares,
        served: opened.served,
        control,
        probers: probers_task,
        shared,
        log: writer,
        leaving,
    })
}

/// What all workers share.
fn shared(
    config: &Config,
    listeners: Arc<[Served]>,
    table: &TableHandle,
    stats: &Arc<ProcessStats>,
    (log, tracer): (AccessLog, Tracer),
) -> Arc<Shared> {
    Arc::new(Shared {
        listeners,
        table: table.clone(),
        certificates: stats.certificates.clone(),
        stats: stats.clone(),
        log,
        tracer,
        limits: config.limits.clone(),
        trusted: config.trusted_proxies.clone(),
        crowd: Arc::default(),
        numbers: ConnectionNumbers::default(),
        drain: Drain::default(),
    })
}

fn settings(config: Config, admin_port: u16) -> discovery::Settings {
    discovery::Settings {
        control_planes: config.control_planes,
        tls: config.control_plane_tls,
        node_id: config.node_id,
        admin_port,
        cache_dir: config.cache_dir,
        dns_server: config.dns_server,
        seed: rand::random(),
    }
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

fn access_log(
    settings: Option<&access_log::Settings>,
    stats: &Arc<ProcessStats>,
) -> Result<(AccessLog, Option<LogWriter>), Error> {
    let Some(settings) = settings else { return Ok((AccessLog::off(), None)) };
    let (log, writer) = AccessLog::start(settings, stats.clone()).map_err(Error::AccessLog)?;
    Ok((log, Some(writer)))
}

fn tracer(settings: Option<&trace::Settings>, stats: &Arc<ProcessStats>) -> (Tracer, Option<Exporter>) {
    let Some(settings) = settings else { return (Tracer::off(), None) };
    let (tracer, exporter) = Tracer::new(settings.clone(), stats.clone());
    (tracer, Some(exporter))
}

impl Bound {
    /// Serves until `shutdown`, then leaves: not ready, a delay in which requests are still taken, then no
    /// new connections, and an end when the running requests have ended or the deadline has passed. Ends at once
    /// when it is dropped.
    ///
    /// # Errors
    /// If a thread cannot be started or ends by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        self.run_until(Notice { stop: shutdown, ..Notice::default() }).await
    }

    /// As [`Bound::run`], or until another process listens in place of this one: then it does so no more at once.
    ///
    /// # Errors
    /// As for [`Bound::run`].
    pub async fn run_until(self, notice: Notice) -> Result<(), Error> {
        let Self { listeners, admin, sockets, readiness, shares, served, control, probers, shared, log, mut leaving } =
            self;
        info!(?listeners, %admin, workers = shares.len(), "data plane listens");
        let to_file = log.as_ref().is_some_and(LogWriter::writes_file);
        let hangups = to_file.then(|| access_log::follow_hangups(shared.log.clone()));
        let _following = hangups.transpose().map_err(Error::Signal)?;
        let ending = Ending { drain: shared.drain.clone(), sockets, control: CancellationToken::new() };
        let (stopped, replaced) = (ending.control.clone(), notice.replaced.clone());
        let control = move || control_thread(control, stopped, replaced);
        let mut control_ended = pin!(Thread::start("weir-control", control)?.ended());
        let mut probers_ended = pin!(Thread::start("weir-probers", move || probers_thread(probers))?.ended());
        let mut serving = start_workers(shares, &shared, served.then_some(&readiness))?;
        let result = tokio::select! {
            () = notice.stop.cancelled() => Ok(()),
            () = notice.replaced.cancelled() => {
                leaving.delay = Duration::ZERO;
                Ok(())
            }
            Some(ended) = serving.join_next() => Err(Error::Ended(ended.unwrap_or_default())),
            name = &mut control_ended => Err(Error::Ended(name)),
            name = &mut probers_ended => Err(Error::Ended(name)),
        };
        // To the end: a proxy that has left must not look ready in its last moment.
        let _draining = readiness.block("draining");
        if result.is_ok() {
            leave(&ending, leaving, &mut serving).await;
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
    sockets: Sockets,
    control: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.drain.abort();
        self.sockets.close();
        self.control.cancel();
    }
}

/// The visible sequence of a graceful stop.
async fn leave(ending: &Ending, leaving: Leaving, serving: &mut JoinSet<String>) {
    let Ending { drain, sockets, control: _ } = ending;
    drain.leave(leaving.delay + leaving.deadline / 2);
    info!(delay = ?leaving.delay, deadline = ?leaving.deadline, "leaving");
    sleep(leaving.delay).await;
    // The other half is for what was sent on them at the last moment.
    drain.close(leaving.deadline / 2);
    sockets.close();
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

/// `not_before`: they accept nothing before this is ready.
fn start_workers(
    shares: Vec<Share>,
    shared: &Arc<Shared>,
    not_before: Option<&Readiness>,
) -> Result<JoinSet<String>, Error> {
    let mut threads = JoinSet::new();
    for (id, sockets) in shares.into_iter().enumerate() {
        let (shared, not_before) = (shared.clone(), not_before.cloned());
        let seed = rand::random();
        let body = move || {
            let Some(runtime) = local_runtime() else { return };
            let worker = Worker::new(id, shared.clone(), seed);
            let serving = async {
                wait(not_before, &shared.drain).await;
                worker.run(sockets).await
            };
            if let Err(error) = runtime.block_on(serving) {
                warn!(%error, "a worker cannot use its sockets");
            }
        };
        threads.spawn(Thread::start(format!("weir-worker-{id}"), body)?.ended());
    }
    Ok(threads)
}

async fn wait(not_before: Option<Readiness>, drain: &Drain) {
    let Some(readiness) = not_before else { return };
    tokio::select! {
        () = readiness.ready() => {}
        () = drain.closing() => {}
    }
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

/// `replaced`: another process shows how it goes from then on.
fn control_thread(control: ControlThread, stop: CancellationToken, replaced: CancellationToken) {
    let ControlThread { discovery, clock, admin, folder, exporter, recent, table, stats } = control;
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return warn!(%error, "the control thread cannot start"),
    };
    let followed = async {
        if let Some(folder) = folder {
            folder.run(stop.clone()).await;
        }
    };
    let exported = async {
        if let Some(exporter) = exporter {
            exporter.run(stop.clone()).await;
        }
    };
    let paced = recent.run(table, stats, stop.clone());
    let shown = async {
        tokio::select! {
            () = admin.run(stop.clone()) => {}
            () = replaced.cancelled() => {}
        }
    };
    runtime.block_on(async {
        tokio::select! {
            ((), (), (), (), ()) = async { tokio::join!(discovery.run(stop.clone()), shown, followed, exported, paced) } => {}
            () = clock.run() => {}
        }
    });
}
