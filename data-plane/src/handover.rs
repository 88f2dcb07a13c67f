//! Listening sockets from another process: from systemd or from the proxy that this one takes the place of; and an
//! upgrade in place, in which this process hands its own on.
//!
//! LIFECYCLE of an upgrade
//! ```text
//!   old: SIGUSR2 -> starts its executable anew -> hands over copies of all sockets -> goes on serving
//!   new:                                             takes them -> table is live -> says so, serves
//!   old:                                                                             closes its own, drains, ends
//! ```
//! Both hold the same sockets meanwhile, so that nothing in their accept queues is lost. A new process that ends or says
//! nothing within a minute is ended, and the old one goes on as if nothing had been.

mod inherited;
mod passing;
mod predecessor;
mod successor;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_proto::process::pid_file::PidFile;
use weir_proto::process::supervisor;

pub use inherited::Inherited;
pub use predecessor::Predecessor;

use crate::app::{self, Notice};
use crate::config::Config;
use crate::readiness::Readiness;

/// Name of the admin server's socket: no listener can have it.
pub const ADMIN: &str = "weir.admin";

/// Why a proxy cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody could ask for an upgrade.
    #[error("cannot listen to SIGUSR2: {0}")]
    Signal(io::Error),
    /// The sockets that it was given are none, or do not come.
    #[error("cannot take over sockets: {0}")]
    Inherit(io::Error),
    /// The proxy itself.
    #[error(transparent)]
    App(#[from] app::Error),
}

/// The sockets of this process, each with the name of its listener, until it stops listening; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<(String, TcpListener)>>>);

impl Sockets {
    /// Keeps these.
    #[must_use]
    pub fn new(sockets: Vec<(String, TcpListener)>) -> Self {
        Self(Arc::new(Mutex::new(sockets)))
    }

    /// Copies of all of them.
    ///
    /// # Errors
    /// If there are no file descriptors left.
    pub fn copies(&self) -> io::Result<Vec<(String, TcpListener)>> {
        self.0.lock().iter().map(|(name, socket)| Ok((name.clone(), socket.try_clone()?))).collect()
    }

    /// Listens no more, as far as these sockets do.
    pub fn close(&self) {
        self.0.lock().clear();
    }
}

/// Runs a proxy that takes sockets which it is given, and that a new process can take the place of, until `stop`.
///
/// # Errors
/// If it cannot start, or ends by itself.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let mut asked = signal(SignalKind::user_defined2()).map_err(Error::Signal)?;
    let predecessor = Predecessor::from_environment().map_err(Error::Inherit)?;
    let inherited = match &predecessor {
        Some(predecessor) => predecessor.sockets(),
        None => Inherited::from_systemd(),
    };
    let inherited = inherited.map_err(Error::Inherit)?;
    let pid_file = config.pid_file.clone().map(PidFile::new);
    let bound = app::bind_with(config, inherited)?;
    let (sockets, notice) = (bound.sockets.clone(), Notice { stop, ..Notice::default() });
    let replaced = notice.replaced.clone();
    tokio::spawn(begin(bound.readiness.clone(), predecessor, pid_file.clone()));
    tokio::spawn(async move { while asked.recv().await.is_some() && !replace(&sockets, &replaced).await {} });
    let ended = bound.run_until(notice).await;
    if let Some(pid_file) = pid_file {
        pid_file.remove();
    }
    Ok(ended?)
}

/// Lets a new process take over; false if it cannot.
async fn replace(sockets: &Sockets, replaced: &CancellationToken) -> bool {
    match successor::start(sockets).await {
        Ok(pid) => {
            info!(pid, "a new process has taken over");
            replaced.cancel();
            true
        }
        Err(error) => {
            warn!(%error, "no new process has taken over, this one goes on");
            false
        }
    }
}

/// Tells everyone who waits for it that this process serves.
async fn begin(readiness: Readiness, predecessor: Option<Predecessor>, pid_file: Option<PidFile>) {
    if predecessor.is_some() {
        // Until then the process is the other one.
        readiness.ready().await;
    }
    if let Some(Err(error)) = pid_file.as_ref().map(PidFile::write) {
        warn!(%error, "--pid-file cannot be written");
    }
    readiness.ready().await;
    if let Err(error) = supervisor::ready() {
        warn!(%error, "the supervisor cannot be told that this process is ready");
    }
    if let Some(Err(error)) = predecessor.map(Predecessor::relieve) {
        warn!(%error, "the process before this one is gone");
    }
}
