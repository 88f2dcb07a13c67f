//! A Backend: one destination of a pool.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::ResourceName;
use super::matcher::check_host;

/// A complete Backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/name`.
    pub name: ResourceName,
    /// The Pool it belongs to, of the same namespace.
    pub pool: ResourceName,
    /// Where it listens.
    pub address: Address,
    /// Share among the pool's endpoints, at most [`super::pool::MAX_WEIGHT`]; 0 = no new traffic.
    pub weight: u32,
    /// False = taken out by hand.
    pub enabled: bool,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// For plugins that go by scores.
    pub score: i64,
    /// When it is asked.
    pub role: Role,
    /// Most requests in flight to one of its endpoints from one proxy, at most [`MAX_CAPACITY`]; 0 = unlimited.
    pub capacity: u32,
}

/// Largest capacity of a Backend.
pub const MAX_CAPACITY: u32 = 1_000_000;

/// When a backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// First.
    #[default]
    Active,
    /// When no active one could take the request, as it is down or full.
    Standby,
    /// When every active and standby one is down or disabled.
    Backup,
}

impl Role {
    /// Every role, in the order in which they are asked.
    pub const ALL: [Self; 3] = [Self::Active, Self::Standby, Self::Backup];

    /// The role as written in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Standby => "Standby",
            Self::Backup => "Backup",
        }
    }
}

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A DNS name, lower case, and port; each address it resolves to is an endpoint.
    Name(String, u16),
    /// Wherever the [`super::Endpoints`] of the Backend's name say.
    Service,
}

impl Address {
    /// Reads `host:port`, `[v6]:port` or `name:port`.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("address {text:?} {what}: write host:port, [v6]:port or name:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        let port = match port.parse::<u16>() {
            Ok(port) if port != 0 && !port_has_sign(text) => port,
            _ => return Err(wrong("has no port of 1 to 65535")),
        };
        if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            let ip: Ipv6Addr = inner.parse().map_err(|_| wrong("has no IPv6 address in its brackets"))?;
            return Ok(Self::Socket(SocketAddr::new(ip.into(), port)));
        }
        if host.contains(':') {
            return Err(wrong("has an IPv6 address without brackets"));
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::Socket(SocketAddr::new(ip, port)));
        }
        let numeric = host.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        if numeric || check_host(host).is_err() {
            return Err(wrong("has no IP address or DNS name"));
        }
        Ok(Self::Name(host.to_ascii_lowercase(), port))
    }
}

/// `u16::from_str` takes "+80".
fn port_has_sign(text: &str) -> bool {
    text.contains('+')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Service => f.write_str("a Service"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u1_addresses_are_ipv4_ipv6_and_names() {
        for text in ["10.0.0.1:80", "[::1]:8080", "web.internal:80", "localhost:1"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:99999",
            "::1:80",
            "[::g]:80",
            "300.1.1.1:80",
            "a b:80",
            ":80",
            "a:+80",
            "http://a:80",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }
}
