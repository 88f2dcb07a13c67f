//! TLS with the endpoints of a Backend.

use rustls::pki_types::ServerName;

use super::{Authorities, Certificate};

/// How the endpoints of a Backend are spoken to within TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTls {
    /// Whom their certificates must be for. A DNS name is asked for in the handshake.
    pub server_name: ServerName<'static>,
    /// Who certifies them.
    pub trust: Trust,
    /// Shown to those that ask for one.
    pub certificate: Option<Certificate>,
    /// The oldest that may be spoken.
    pub minimum_version: TlsVersion,
}

/// Whose word on a server is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// That of the authorities of the system that the proxy runs on.
    #[default]
    System,
    /// That of these.
    Authorities(Authorities),
    /// Anybody's: the server may be anybody, too.
    Anyone,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}
