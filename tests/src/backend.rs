//! A mock upstream server: speaks real HTTP on a port of its own, within TLS or not, does as it is told, counts what it got.
//!
//! LIFECYCLE: `start` -> (`stop` -> `restart`)*. A socket that never listens holds the port all the time, so that a
//! stopped backend refuses connects and nobody else gets its port.

mod answer;
mod behaviour;
mod count;
mod serve;
mod speech;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use behaviour::{Behaviour, Reply};
pub use count::Counts;

use crate::port;
use serve::Shared;
pub use speech::Speech;

/// A mock upstream server.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` while it is stopped.
    task: Mutex<Option<JoinHandle<()>>>,
    /// Holds the port while nothing listens; `None` only in `drop`.
    port: Option<TcpSocket>,
}

impl Backend {
    /// Listens on a free IPv4 loopback port and answers 200 with `name` as the body.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(name: &str) -> Self {
        Self::start_on("127.0.0.1:0", name).await
    }

    /// As [`Backend::start`], on this address.
    ///
    /// # Panics
    /// If the address is not free.
    pub async fn start_on(address: &str, name: &str) -> Self {
        Self::start_speaking(address, name, Speech::default()).await
    }

    /// As [`Backend::start_on`], speaking this.
    ///
    /// # Panics
    /// If the address is not free.
    pub async fn start_speaking(address: &str, name: &str, speech: Speech) -> Self {
        let address: SocketAddr = address.parse().expect("an IP address and port");
        let port = port::bind(address).expect("a free port");
        let address = port.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Reply(Reply::text(name))),
            speech: Mutex::new(speech),
            gate: watch::Sender::new(true),
            counts: Counts::default(),
        });
        let backend = Self { address, shared, task: Mutex::new(None), port: Some(port) };
        backend.restart();
        backend
    }

    /// Several of them: `prefix-1`, `prefix-2` and so on.
    pub async fn start_many<const N: usize>(prefix: &str) -> [Self; N] {
        let mut all = Vec::new();
        for i in 1..=N {
            all.push(Self::start(&format!("{prefix}-{i}")).await);
        }
        all.try_into().expect("N of them")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it got so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Requests received so far.
    pub fn requests(&self) -> u64 {
        self.counts().requests()
    }

    /// Changes what it does from the next request on.
    pub fn set(&self, behaviour: impl Into<Behaviour>) {
        *self.shared.behaviour.lock() = behaviour.into();
    }

    /// Speaks this on connections that come from now on.
    pub fn speak(&self, speech: Speech) {
        *self.shared.speech.lock() = speech;
    }

    /// From now on requests are taken but answered only after [`Backend::release`].
    pub fn hold(&self) {
        self.shared.gate.send_replace(false);
    }

    /// Answers what was held.
    pub fn release(&self) {
        self.shared.gate.send_replace(true);
    }

    /// Closes all its connections and refuses new ones.
    ///
    /// # Panics
    /// If it is stopped already.
    pub async fn stop(&self) {
        let task = self.task.lock().take().unwrap_or_else(|| panic!("{} is stopped already", self.address));
        task.abort();
        // The end of the task has closed the listener and every connection; how it ended does not matter.
        let _ = task.await;
    }

    /// Listens again, on the same port.
    ///
    /// # Panics
    /// If it is not stopped.
    pub fn restart(&self) {
        let listener = port::bind(self.address).and_then(|socket| socket.listen(1024)).expect("its own port");
        let before = self.task.lock().replace(tokio::spawn(serve::run(listener, self.shared.clone())));
        assert!(before.is_none(), "{} is not stopped", self.address);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
        self.port.take().into_iter().for_each(port::keep);
    }
}
