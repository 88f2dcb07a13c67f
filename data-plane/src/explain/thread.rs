//! The thread of dry runs: one after the other, and few that wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{self, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{subscriber, warn};

use super::answer::Explanation;
use super::question::{Asked, Question, Wrong};
use super::run::explain;
use crate::drain::Drain;
use crate::http::connection::ClientConnection;
use crate::listener::Served;
use crate::listener::crowd::Place;
use crate::listener::numbers::ConnectionNumbers;
use crate::plugin::rehearsal::Notes;
use crate::stats::ProcessStats;
use crate::stats::access_log::AccessLog;
use crate::trace::Tracer;
use crate::worker::{Shared, Worker};

/// Questions that may wait.
const QUEUE: usize = 16;

/// How long an answer may take: every plugin has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the thread; cheap to clone.
#[derive(Debug, Clone)]
pub struct Explainer {
    listeners: Arc<[Served]>,
    jobs: mpsc::Sender<Job>,
}

/// What the thread runs.
struct DryRuns {
    /// What requests are served by.
    served: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
}

#[derive(Debug)]
struct Job {
    asked: Asked,
    answer: oneshot::Sender<Explanation>,
}

/// Why there is no explanation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// The question is wrong.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// Too many others ask, or it takes too long.
    #[error("too many ask at the same time, or a plugin takes too long: try again")]
    Busy,
}

impl Explainer {
    /// Starts the thread, for requests as these workers serve them. It ends when nobody can ask any more.
    ///
    /// # Errors
    /// If there are no threads left.
    pub fn start(served: Arc<Shared>) -> io::Result<Self> {
        let (jobs, asked) = mpsc::channel(QUEUE);
        let listeners = served.listeners.clone();
        let dry_runs = DryRuns { served, jobs: asked };
        thread::Builder::new().name("weir-explain".into()).spawn(move || dry_runs.run())?;
        Ok(Self { listeners, jobs })
    }

    /// Where this request would go.
    ///
    /// # Errors
    /// If it is none, or too many ask.
    pub async fn explain(&self, question: &Question) -> Result<Explanation, Unexplained> {
        let asked = question.ask(&self.listeners)?;
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { asked, answer }).map_err(|_| Unexplained::Busy)?;
        let answered = timeout(PATIENCE, answered).await;
        answered.ok().and_then(Result::ok).ok_or(Unexplained::Busy)
    }
}

impl DryRuns {
    fn run(self) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.answer()),
            Err(error) => warn!(%error, "the thread of dry runs cannot start"),
        }
    }

    /// What plugins log here is part of the answers, and no line of the log.
    async fn answer(mut self) {
        let notes = Notes::default();
        let _lines = subscriber::set_default(notes.lines());
        while let Some(Job { asked, answer }) = self.jobs.recv().await {
            let connection = connection(&self.served, &asked);
            let explanation = explain(&connection, asked, &notes).await;
            // Who asked may have left.
            let _ = answer.send(explanation);
        }
    }
}

/// A client's connection that does not exist, on a worker that serves nobody: what scripts and components keep on
/// their worker is gone with it.
fn connection(served: &Shared, asked: &Asked) -> Rc<ClientConnection> {
    let worker = Worker::new(0, Arc::new(apart(served)), rand::random());
    let port = if served.listeners[asked.listener].tls { 443 } else { 80 };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = ClientConnection::new(worker, asked.listener, local, asked.client, Place::default());
    if let Some(connection) = Rc::get_mut(&mut connection) {
        connection.number = served.numbers.peek();
    }
    connection
}

/// The same for who counts and logs where nobody looks.
fn apart(served: &Shared) -> Shared {
    let names: Vec<String> = served.listeners.iter().map(|served| served.name.clone()).collect();
    Shared {
        listeners: served.listeners.clone(),
        table: served.table.clone(),
        stats: Arc::new(ProcessStats::new(&names, 1)),
        log: AccessLog::off(),
        tracer: Tracer::off(),
        numbers: ConnectionNumbers::default(),
        limits: served.limits.clone(),
        trusted: served.trusted.clone(),
        crowd: Arc::default(),
        drain: Drain::default(),
        certificates: served.certificates.clone(),
    }
}
