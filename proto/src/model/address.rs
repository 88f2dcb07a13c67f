//! Where backends and their endpoints listen.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use super::matcher::check_host;

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// One endpoint, there and nowhere else.
    Fixed(EndpointAddress),
    /// A DNS name, lower case, and port; each address it resolves to is an endpoint.
    Name(String, u16),
    /// Wherever the [`super::Endpoints`] of the Backend's name say.
    Service,
}

/// Where an endpoint listens. Its text is read back as the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
}

/// Name of a Unix socket: an absolute path, or `@` and a name in the kernel's abstract namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixName(Arc<str>);

/// Bytes of the longest name: `sun_path` of Linux has 108, with a zero byte at one end.
const LONGEST_UNIX_NAME: usize = 107;
const UNIX: &str = "unix:";
const FORMS: &str = "host:port, [v6]:port, name:port, unix:/path or unix:@name";

impl Address {
    /// Reads `host:port`, `[v6]:port`, `name:port`, `unix:/path` or `unix:@name`.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("address {text:?} {what}: write {FORMS}");
        if let Some(name) = text.strip_prefix(UNIX) {
            return UnixName::parse(name).map(EndpointAddress::Unix).map(Self::Fixed).map_err(wrong);
        }
        let (host, port) = split(text).map_err(wrong)?;
        Ok(match ip(host).map_err(wrong)? {
            Some(ip) => Self::Fixed(SocketAddr::new(ip, port).into()),
            None => Self::Name(host.to_ascii_lowercase(), port),
        })
    }
}

/// Host and port.
fn split(text: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    // `u16::from_str` takes "+80".
    match port.parse::<u16>() {
        Ok(number) if number != 0 && !port.starts_with('+') => Ok((host, number)),
        _ => Err("has no port of 1 to 65535"),
    }
}

/// The address, or nothing if it is a DNS name.
fn ip(host: &str) -> Result<Option<IpAddr>, &'static str> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let ip: Ipv6Addr = inner.parse().map_err(|_| "has no IPv6 address in its brackets")?;
        return Ok(Some(ip.into()));
    }
    if host.contains(':') {
        return Err("has an IPv6 address without brackets");
    }
    if let Ok(ip) = host.parse() {
        return Ok(Some(ip));
    }
    let numeric = host.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    if numeric || check_host(host).is_err() {
        return Err("has no IP address or DNS name");
    }
    Ok(None)
}

impl UnixName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with(['/', '@']) || text.len() == 1 {
            return Err("has no absolute path and no @name");
        }
        if text.len() > LONGEST_UNIX_NAME {
            return Err("has a path of more than 107 bytes");
        }
        // It is shown in headers, cookies and logs as it is.
        if text.bytes().any(|c| !c.is_ascii_graphic() || matches!(c, b'"' | b',' | b';' | b'\\')) {
            return Err("has a character that is no letter, digit or common mark");
        }
        Ok(Self(text.into()))
    }

    /// The path, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.starts_with('/').then_some(&self.0)
    }

    /// The name in the abstract namespace, without its `@`, if it has one.
    #[must_use]
    pub fn in_abstract(&self) -> Option<&str> {
        self.0.strip_prefix('@')
    }
}

impl EndpointAddress {
    /// The IP address and port, if it has them.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for EndpointAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for EndpointAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Address::parse(text)? {
            Address::Fixed(address) => Ok(address),
            Address::Name(..) | Address::Service => Err(format!("{text:?} is no address of an endpoint")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Service => f.write_str("a Service"),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(UnixName(name)) => write!(f, "{UNIX}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u1_addresses_are_ipv4_ipv6_names_and_unix_sockets() {
        for text in ["10.0.0.1:80", "[::1]:8080", "web.internal:80", "localhost:1", "unix:/run/a:b.sock", "unix:@web"] {
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
            "unix:",
            "unix:/",
            "unix:@",
            "unix:run/web.sock",
            "unix:/run\0",
            "unix:/a b",
            "unix:/a;b",
            "unix:/ü",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn u1_a_unix_name_fits_into_the_kernels_field() {
        let name = |len: usize| format!("unix:/{}", "a".repeat(len - 1));
        assert!(Address::parse(&name(LONGEST_UNIX_NAME)).is_ok());
        let error = Address::parse(&name(LONGEST_UNIX_NAME + 1)).unwrap_err();
        assert!(error.contains("107 bytes"), "{error}");
    }

    #[test]
    fn an_endpoints_address_is_read_back_from_its_text() {
        for text in ["10.0.0.1:80", "[::1]:80", "unix:/run/web.sock", "unix:@web"] {
            assert_eq!(text.parse::<EndpointAddress>().unwrap().to_string(), text);
        }
        assert!("web:80".parse::<EndpointAddress>().is_err());
    }
}
