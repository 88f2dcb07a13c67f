//! A listener that is so busy that nobody can connect to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than a loopback connect that succeeds takes, by far.
const HANGS: Duration = Duration::from_millis(200);
/// A queue of length 1 holds 2; more are only for kernels that count otherwise.
const MOST: usize = 64;

/// A listener that accepts nothing and whose queue is full: the kernel drops further SYNs, so that a connect hangs as
/// it does to a host that is not there.
#[derive(Debug)]
pub struct FullListener {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl FullListener {
    /// Fills the queue of a listener on a free port.
    ///
    /// # Panics
    /// If there is no free port, or the queue does not fill.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(1).expect("a bound socket");
        let address = listener.local_addr().expect("a bound listener");
        let mut queue = Vec::new();
        while let Ok(connected) = timeout(HANGS, TcpStream::connect(address)).await {
            queue.push(connected.expect("a connect that hangs or succeeds"));
            assert!(queue.len() < MOST, "the queue does not fill");
        }
        Self { address, _listener: listener, _queue: queue }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
