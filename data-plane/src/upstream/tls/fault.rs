//! Why no connection within TLS came about, or why one broke: what people do about it differs.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::reason::Reason;

/// What is wrong with TLS to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its certificate is over, or its time has not come.
    #[error("tls: certificate expired or not yet valid")]
    Expired,
    /// Its certificate is for somebody else.
    #[error("tls: certificate not valid for the server's name")]
    WrongName,
    /// Nobody who is believed certifies it.
    #[error("tls: unknown issuer")]
    UnknownIssuer,
    /// Its certificate is bad in another way.
    #[error("tls: bad certificate")]
    BadCertificate,
    /// It refuses: most likely it wants another client certificate.
    #[error("tls: refused by the server")]
    Refused,
    /// There is no version, cipher or protocol that both speak.
    #[error("tls: no version, cipher or protocol in common")]
    NoOverlap,
    /// What it says is no TLS.
    #[error("tls: not spoken by the server")]
    NotSpoken,
}

impl Fault {
    /// What an error of a connection within TLS says of it, if it is one of TLS.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Error>().map(Self::from)
    }

    /// What the causes of an error say of it, if one of them is about TLS.
    #[must_use]
    pub fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.filter_map(|error| error.downcast_ref::<io::Error>()).find_map(Self::of)
    }

    /// The short reason.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::TlsExpired,
            Self::WrongName => Reason::TlsWrongName,
            Self::UnknownIssuer => Reason::TlsUnknownIssuer,
            Self::BadCertificate => Reason::TlsBadCertificate,
            Self::Refused => Reason::TlsRefused,
            Self::NoOverlap => Reason::TlsNoOverlap,
            Self::NotSpoken => Reason::TlsNotSpoken,
        }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(why) => Self::from(why),
            Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol
            | Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::NoApplicationProtocol,
            ) => Self::NoOverlap,
            Error::AlertReceived(_) => Self::Refused,
            Error::NoCertificatesPresented => Self::BadCertificate,
            _ => Self::NotSpoken,
        }
    }
}

impl From<&CertificateError> for Fault {
    fn from(why: &CertificateError) -> Self {
        use CertificateError as E;
        match why {
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => Self::Expired,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::WrongName,
            // An authority of the same name, but with another key.
            E::UnknownIssuer | E::BadSignature => Self::UnknownIssuer,
            _ => Self::BadCertificate,
        }
    }
}
