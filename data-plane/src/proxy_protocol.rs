//! The PROXY protocol, which says who a client is before the client's first byte: to a backend, and to this proxy
//! (<https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>).
//!
//! [`parse`] and [`write`] know the bytes, [`arrival`] reads them from a connection just accepted.

pub mod arrival;
pub mod parse;
pub mod write;

use std::net::{IpAddr, SocketAddr};

/// With which version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";
/// With which version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and that the connection is the sender's own.
const V2_LOCAL: u8 = 0x20;
/// Version 2, and that a client is behind the connection.
const V2_PROXY: u8 = 0x21;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;

/// Both ends of a client's connection, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client's.
    pub client: SocketAddr,
    /// The one that it has connected to.
    pub here: SocketAddr,
}

impl Ends {
    /// Of a connection from `client` to `here`. IPv4 addresses written as those of IPv6 are of IPv4, if both are.
    #[must_use]
    pub fn new(client: SocketAddr, here: SocketAddr) -> Self {
        let [client_ip, here_ip] = match (client.ip().to_canonical(), here.ip().to_canonical()) {
            (client @ IpAddr::V4(_), here @ IpAddr::V4(_)) => [client, here],
            (client, here) => [client, here].map(in_ipv6),
        };
        Self { client: SocketAddr::new(client_ip, client.port()), here: SocketAddr::new(here_ip, here.port()) }
    }
}

fn in_ipv6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}
