//! Binding of listeners: one socket per worker on the same port, so that the kernel spreads connections
//! and no worker waits for another.

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
    sockets: Vec<TcpListener>,
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

    /// Takes out the socket of one worker; `None` once all are taken.
    pub fn take_socket(&mut self) -> Option<TcpListener> {
        self.sockets.pop()
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
    fn a_taken_port_is_an_error_even_among_our_own() {
        let first = Listener::bind("http".into(), ([127, 0, 0, 1], 0).into(), 2).unwrap();
        let error = Listener::bind("http".into(), first.address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
