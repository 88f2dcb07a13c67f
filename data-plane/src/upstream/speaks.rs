//! What an endpoint speaks, for as long as it is there.

use weir_proto::model::{EndpointAddress, Protocol};

use super::fastcgi::Application;

/// What an endpoint speaks.
#[derive(Debug)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// FastCGI, with the application behind it.
    FastCgi(Application),
}

impl Speaks {
    /// What one at this address speaks.
    #[must_use]
    pub fn of(protocol: &Protocol, address: &EndpointAddress) -> Self {
        match (protocol, Application::of(protocol, address)) {
            (_, Some(application)) => Self::FastCgi(application),
            (Protocol::Http2, None) => Self::Http2,
            (Protocol::Http | Protocol::FastCgi(_), None) => Self::Http1,
        }
    }

    /// The application, if it speaks FastCGI.
    #[must_use]
    pub fn fastcgi(&self) -> Option<&Application> {
        match self {
            Self::FastCgi(application) => Some(application),
            Self::Http1 | Self::Http2 => None,
        }
    }
}
