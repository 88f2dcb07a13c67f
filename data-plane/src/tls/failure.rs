//! Why a client's connection came to no request: one short word, in the metric and in the log.

use std::io;

use rustls::Error;

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Failure {
    /// It took too long.
    Timeout,
    /// The client does not speak TLS, but HTTP.
    PlainHttp,
    /// There is no certificate for the name that the client asks for.
    NoCertificate,
    /// The client has no certificate, or none that is believed.
    ClientCertificate,
    /// There is no version, cipher or protocol that both speak.
    NoOverlap,
    /// The client refuses: most likely it does not believe the certificate.
    Refused,
    /// What came is no handshake.
    Malformed,
    /// The client left.
    ClientAbort,
}

impl Failure {
    /// Every failure, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::PlainHttp,
        Self::NoCertificate,
        Self::ClientCertificate,
        Self::NoOverlap,
        Self::Refused,
        Self::Malformed,
        Self::ClientAbort,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::PlainHttp => "plain_http",
            Self::NoCertificate => "no_certificate",
            Self::ClientCertificate => "client_certificate",
            Self::NoOverlap => "no_overlap",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::ClientAbort => "client_abort",
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
            None => Self::ClientAbort,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Self::ClientCertificate,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::NoOverlap,
            Some(Error::AlertReceived(_)) => Self::Refused,
            Some(_) => Self::Malformed,
        }
    }
}
