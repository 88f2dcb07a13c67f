//! Binding of listeners: one socket per worker on the same port, so that the kernel spreads connections
//! and no worker waits for another. Sockets that come from another process may be fewer or more.

pub mod crowd;
pub mod numbers;

use std::io;
use std::iter;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};
use weir_proto::model::PoolProtocol;

/// Connections the kernel holds until a worker accepts them.
const BACKLOG: i32 = 4096;

/// What a table needs to know of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its name in `--listen` and in `spec.listeners`.
    pub name: String,
    /// What clients speak.
    pub protocol: PoolProtocol,
    /// Whether they speak it within TLS.
    pub tls: bool,
    /// Whether connections begin with the PROXY protocol.
    pub proxy: bool,
}

/// A named listener and its sockets, one per worker.
#[derive(Debug)]
pub struct Listener {
    /// Its name in `--listen` and in `spec.listeners`.
    pub name: String,
    /// The real address, where the port asked for was 0.
    pub address: SocketAddr,
    /// All of them.
    pub sockets: Vec<TcpListener>,
}

impl Listener {
    /// Binds `address` once for each of `workers`.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    pub fn bind(name: String, address: SocketAddr, workers: usize) -> io::Result<Self> {
        if address.port() != 0 {
            // With SO_REUSEPORT a second process of the same user would bind a taken port without an error,
            // and both would get half of the connections. This bind goes without, and would fail.
            open(address, false)?;
        }
        let first = open(address, true)?;
        let address = first.local_addr()?;
        let others = (1..workers).map(|_| open(address, true));
        let sockets = iter::once(Ok(first)).chain(others).collect::<io::Result<_>>()?;
        Ok(Self { name, address, sockets })
    }

    /// With sockets of another process, which are bound.
    ///
    /// # Errors
    /// If one is no socket any more.
    pub fn inherit(name: String, sockets: Vec<TcpListener>) -> io::Result<Self> {
        let address = sockets.first().ok_or(io::ErrorKind::NotFound)?.local_addr()?;
        Ok(Self { name, address, sockets })
    }

    /// Copies of the sockets that worker `id` of `workers` accepts from: each socket is somebody's, and each worker has
    /// one, if need be together with others.
    ///
    /// # Errors
    /// If there are no file descriptors left.
    pub fn share(&self, id: usize, workers: usize) -> io::Result<Vec<TcpListener>> {
        let count = self.sockets.len();
        let places = (id % count..count).step_by(workers.min(count));
        places.map(|place| self.sockets[place].try_clone()).collect()
    }
}

fn open(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if share_port {
        socket.listen(BACKLOG)?;
    } else {
        // SO_REUSEADDR alone lets two sockets bind as long as neither listens.
        socket.listen(1)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_is_somebodys_and_each_worker_has_one() {
        for (count, workers) in [(1, 1), (1, 3), (3, 1), (2, 3), (3, 2), (4, 4), (5, 2)] {
            let sockets = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let listener = Listener::inherit("http".into(), sockets).unwrap();
            let mut had = std::collections::BTreeSet::new();
            for id in 0..workers {
                let shares = listener.share(id, workers).unwrap();
                assert!(!shares.is_empty(), "worker {id} of {workers} for {count} sockets");
                had.extend(shares.iter().map(|socket| socket.local_addr().unwrap()));
            }
            assert_eq!(had.len(), count, "{workers} workers");
        }
        assert!(Listener::inherit("http".into(), Vec::new()).is_err());
    }

    #[test]
    fn a_taken_port_is_an_error_even_among_our_own() {
        let first = Listener::bind("http".into(), ([127, 0, 0, 1], 0).into(), 2).unwrap();
        let error = Listener::bind("http".into(), first.address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
