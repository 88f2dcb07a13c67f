//! Ports that stay with the test that got them.
//!
//! A proxy of a test that ended may go on for a moment: its last probe, or a client's last try. Were the port another
//! test's by then, that one would count a request too many. So a port is not free as soon as its owner is gone.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::net::TcpSocket;

/// Far more than are given up while a proxy ends, and far fewer than there are.
const MOST: usize = 512;

static KEPT: Mutex<VecDeque<TcpSocket>> = Mutex::new(VecDeque::new());

/// A socket that has the port. Nobody is given the port meanwhile, but whoever asks for it by number may listen.
///
/// # Errors
/// If somebody listens there.
pub fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the time before a restart may still be winding down.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Keeps the port of one that is no longer needed from others, until many more have come.
pub fn keep(socket: TcpSocket) {
    let mut kept = KEPT.lock();
    if kept.len() == MOST {
        kept.pop_front();
    }
    kept.push_back(socket);
}

/// An address that refuses connections, and that a program which is told of it may listen on.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let socket = bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    keep(socket);
    address
}
