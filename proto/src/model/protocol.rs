//! What is spoken, with clients and with backends.

use std::fmt;

/// What clients speak on a listener, and so with the Pools that serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PoolProtocol {
    /// Requests are looked at.
    #[default]
    Http,
    /// Bytes pass as they come.
    Tcp,
}

impl PoolProtocol {
    /// The protocol as written in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tcp => "TCP",
        }
    }
}

impl fmt::Display for PoolProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Version of the PROXY protocol, by which a backend is told who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}
