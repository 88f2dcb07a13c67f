//! A Unix socket whose connections go on to a TCP address, such as a mock backend's.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;

/// Listens until dropped.
#[derive(Debug)]
pub struct UnixRelay(JoinHandle<()>);

impl UnixRelay {
    /// Listens on `path`; one that begins with a zero byte is a name in the abstract namespace.
    ///
    /// # Panics
    /// If it cannot.
    pub fn start(path: &str, to: SocketAddr) -> Self {
        let listener = UnixListener::bind(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Self(tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        // Either side may close whenever it likes.
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        }))
    }
}

impl Drop for UnixRelay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
