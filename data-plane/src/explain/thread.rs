//! The thread of dry runs: one after the other, and few that wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::subscriber;

use super::answer::Explanation;
use super::question::{Asked, Question, Wrong};
use super::run::explain;
use crate::drain::Drain;
use crate::http::connection::ClientConnection;
use crate::limits::Limits;
use crate::listener::Served;
use crate::listener::crowd::Place;
use crate::listener::numbers::ConnectionNumbers;
use crate::plugin::rehearsal::Notes;
use crate::stats::ProcessStats;
use crate::stats::access_log::AccessLog;
use crate::table::TableHandle;
use crate::tls::CertificatesHandle;
use crate::trusted::TrustedProxies;
use crate::worker::{Shared, Worker};

/// Questions that may wait.
const QUEUE: usize = 16;

/// How long an answer may take: every plugin has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// What requests are served by, for who only thinks of them.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The listeners, in order.
    pub listeners: Arc<[Served]>,
    /// The live table.
    pub table: TableHandle,
    /// What clients may ask.
    pub limits: Limits,
    /// Who may say who a client is.
    pub trusted: TrustedProxies,
    /// Numbers of client connections.
    pub numbers: ConnectionNumbers,
    /// What handshakes of TLS go by.
    pub certificates: CertificatesHandle,
}

/// Asks the thread; cheap to clone.
#[derive(Debug, Clone)]
pub struct Explainer {
    listeners: Arc<[Served]>,
    jobs: mpsc::Sender<Job>,
}

/// What the thread runs.
#[derive(Debug)]
pub struct ExplainTask {
    setting: Setting,
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
    /// Who asks, and what answers.
    #[must_use]
    pub fn new(setting: Setting) -> (Self, ExplainTask) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        (Self { listeners: setting.listeners.clone(), jobs: sender }, ExplainTask { setting, jobs })
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

impl ExplainTask {
    /// Answers until nobody can ask any more. What plugins log here is part of the answers, and no line of the log.
    pub async fn run(mut self) {
        let notes = Notes::default();
        let _lines = subscriber::set_default(notes.lines());
        while let Some(Job { asked, answer }) = self.jobs.recv().await {
            let connection = self.setting.connection(&asked);
            let explanation = explain(&connection, asked, &notes).await;
            // Who asked may have left.
            let _ = answer.send(explanation);
        }
    }
}

impl Setting {
    /// A client's connection that does not exist, on a worker that serves nobody: what scripts and components keep on
    /// their worker is gone with it.
    fn connection(&self, asked: &Asked) -> Rc<ClientConnection> {
        let worker = Worker::new(0, Arc::new(self.shared()), rand::random());
        let port = if self.listeners[asked.listener].tls { 443 } else { 80 };
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut connection = ClientConnection::new(worker, asked.listener, local, asked.client, Place::default());
        if let Some(connection) = Rc::get_mut(&mut connection) {
            connection.number = self.numbers.peek();
        }
        connection
    }

    /// What counts here is nobody's.
    fn shared(&self) -> Shared {
        let names: Vec<String> = self.listeners.iter().map(|served| served.name.clone()).collect();
        Shared {
            listeners: self.listeners.clone(),
            table: self.table.clone(),
            stats: Arc::new(ProcessStats::new(&names, 1)),
            log: AccessLog::off(),
            numbers: ConnectionNumbers::default(),
            limits: self.limits.clone(),
            trusted: self.trusted.clone(),
            crowd: Arc::default(),
            drain: Drain::default(),
            certificates: self.certificates.clone(),
        }
    }
}
