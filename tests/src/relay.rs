//! Stands between two programs and can fall silent, as a machine does that is gone without a word.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes everything on to one address, until told otherwise; ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (silent, is_silent) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, to, is_silent.clone()));
            }
        });
        Self { address, silent, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes, and nothing is closed either.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, mut is_silent: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    tokio::select! {
        fell = is_silent.wait_for(|silent| *silent) => drop(fell),
        _ = copy_bidirectional(&mut from, &mut to) => return,
    }
    // Both ends stay open.
    std::future::pending::<()>().await;
}
