//! A server of no protocol: says its name, sends back what it gets, and says goodbye when there is no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::eventually;

/// What an [`Echo`] says last.
pub const GOODBYE: &str = "goodbye";

/// Listens on a free port until it is stopped or dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// Counts a connection as open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Echo {
    /// One that begins each connection with a line of its name.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, ([127, 0, 0, 1], 0).into()).await
    }

    /// The same at this address.
    ///
    /// # Panics
    /// If it is taken.
    pub async fn start_at(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (accepted, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let task = tokio::spawn(accept(listener, format!("{name}\n"), accepted.clone(), open.clone()));
        Self { address, accepted, open, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that it accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Closes the listener and every connection.
    pub async fn stop(&self) {
        self.task.abort();
        eventually("a server has stopped", async || self.task.is_finished().then_some(())).await;
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, greeting: String, accepted: Arc<AtomicUsize>, open: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, SeqCst);
        open.fetch_add(1, SeqCst);
        let (open, greeting) = (Open(open.clone()), greeting.clone());
        connections.spawn(async move {
            // The other side may leave whenever it likes.
            let _ = echo(stream, &greeting).await;
            drop(open);
        });
    }
}

async fn echo(mut stream: TcpStream, greeting: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(greeting.as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    copy(&mut reader, &mut writer).await?;
    writer.write_all(GOODBYE.as_bytes()).await?;
    writer.shutdown().await
}
