//! What can go wrong with one try, classified in one place.

use std::error::Error as _;
use std::io;

use http::StatusCode;
use weir_proto::model::RetryOn;

use super::body::Source;
use super::request::Refusal;
use crate::reason::Reason;
use crate::upstream::tls::Fault;
use crate::upstream::{ConnectError, fastcgi};

/// A try that gave no response head.
#[derive(Debug)]
pub enum Failure {
    /// No connection was made.
    Connect,
    /// No connection was made in time.
    ConnectTimeout,
    /// There was no TLS with the upstream, or it broke before the response head.
    Tls {
        /// What was wrong with it.
        fault: Fault,
        /// Whether the upstream cannot have seen any of the request.
        nothing_sent: bool,
    },
    /// The connection broke before the response head.
    Reset {
        /// Whether the upstream cannot have seen any of the request.
        nothing_sent: bool,
    },
    /// The upstream says that it has not looked at the request, and that another connection may have it: nobody's fault.
    Unprocessed {
        /// Whether its body is there once more.
        repeatable: bool,
    },
    /// This process has no file descriptor or port left: nobody's fault upstream.
    Exhausted,
    /// The answer is none that its protocol has.
    BadResponse,
    /// No response head in time.
    Timeout,
    /// The client's body broke off: nobody's fault upstream.
    Client,
    /// The client stopped sending its body, or sends it too slowly.
    ClientStalled,
    /// The client's body has more bytes than it may.
    TooLarge,
    /// No request of the endpoint's protocol says what this one does.
    Unfit(Refusal),
}

impl Failure {
    /// Classifies an error of hyper's client connection. `nothing_sent`: hyper gave the request back.
    #[must_use]
    pub fn of(error: &hyper::Error, nothing_sent: bool) -> Self {
        if error.is_parse() {
            return Self::BadResponse;
        }
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return Self::Timeout;
        }
        match io.and_then(Fault::of) {
            Some(fault) => Self::Tls { fault, nothing_sent },
            None => Self::Reset { nothing_sent },
        }
    }

    /// Classifies an error of hyper's client connection of HTTP/2.
    #[must_use]
    pub fn of_http2(error: &hyper::Error, nothing_sent: bool) -> Self {
        let Some(cause) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
            return Self::Reset { nothing_sent };
        };
        let io = cause.get_io().map(io::Error::kind);
        match cause.reason() {
            _ if io == Some(io::ErrorKind::TimedOut) => Self::Timeout,
            Some(h2::Reason::REFUSED_STREAM) if cause.is_remote() => Self::Unprocessed { repeatable: false },
            // Those that the peer still works on are not told (RFC 9113, 6.8).
            Some(_) if cause.is_remote() && cause.is_go_away() => Self::Unprocessed { repeatable: false },
            Some(_) if cause.is_library() => Self::BadResponse,
            _ => Self::Reset { nothing_sent },
        }
    }

    /// What a client's body that broke off is.
    #[must_use]
    pub fn of_client(body: &Source) -> Self {
        match body {
            body if body.is_too_large() => Self::TooLarge,
            body if body.is_too_slow() => Self::ClientStalled,
            _ => Self::Client,
        }
    }

    /// Classifies what went wrong with FastCGI.
    #[must_use]
    pub fn of_fastcgi(error: &fastcgi::Error) -> Self {
        use fastcgi::Error as E;
        match error {
            E::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            E::Closed | E::Io(_) => Self::Reset { nothing_sent: false },
            E::Record(_) | E::Head(_) | E::NoHead | E::Refused(_) | E::TooShort(_) | E::TooLong => Self::BadResponse,
            E::Upload(_) => Self::Client,
        }
    }

    /// The short reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Connect | Self::Exhausted => Reason::ConnectFailure,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::Tls { fault, .. } => fault.reason(),
            Self::Reset { .. } | Self::Unprocessed { .. } => Reason::Reset,
            Self::BadResponse => Reason::BadResponse,
            Self::Timeout => Reason::Timeout,
            Self::Client | Self::Unfit(_) => Reason::BadRequest,
            Self::ClientStalled => Reason::TooSlow,
            Self::TooLarge => Reason::TooLarge,
        }
    }

    /// The answer if this is the last failure (F4).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Tls { .. } | Self::Reset { .. } | Self::BadResponse => StatusCode::BAD_GATEWAY,
            Self::Exhausted | Self::Unprocessed { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Client => StatusCode::BAD_REQUEST,
            Self::ClientStalled => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unfit(refusal) => refusal.status,
        }
    }

    /// The answer's text.
    #[must_use]
    pub fn text(&self) -> &'static str {
        match self {
            Self::Connect => "no backend could be connected to\n",
            Self::ConnectTimeout => "no backend could be connected to in time\n",
            Self::Tls { .. } => "no secure connection to a backend could be made\n",
            Self::Timeout => "the backend did not answer in time\n",
            Self::Reset { .. } => "the backend broke off before it answered\n",
            Self::Unprocessed { .. } => "the backend takes no more requests\n",
            Self::Exhausted => "this proxy has no file descriptor or port left\n",
            Self::BadResponse => "the backend's answer is malformed\n",
            Self::Unfit(refusal) => refusal.text,
            Self::Client => "the request body is malformed or incomplete\n",
            Self::ClientStalled => "the request body did not come in time\n",
            Self::TooLarge => "the request body is too large\n",
        }
    }

    /// The cause under which it may be tried again; `None` = never.
    #[must_use]
    pub fn retry_cause(&self) -> Option<RetryOn> {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Tls { nothing_sent: true, .. } => {
                Some(RetryOn::ConnectFailure)
            }
            Self::Tls { .. } | Self::Reset { .. } | Self::Unprocessed { .. } | Self::BadResponse => {
                Some(RetryOn::Reset)
            }
            Self::Timeout => Some(RetryOn::Timeout),
            Self::Client | Self::ClientStalled | Self::TooLarge | Self::Unfit(_) | Self::Exhausted => None,
        }
    }

    /// Whether it counts against the upstream.
    #[must_use]
    pub fn is_of_upstream(&self) -> bool {
        self.retry_cause().is_some() && !matches!(self, Self::Unprocessed { .. })
    }

    /// Whether the upstream has done nothing with the request, and another may have it.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::ConnectTimeout
                | Self::Tls { nothing_sent: true, .. }
                | Self::Reset { nothing_sent: true }
                | Self::Unprocessed { repeatable: true }
        )
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::from(&error)
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        match *error {
            ConnectError::Timeout => Self::ConnectTimeout,
            ConnectError::Exhausted(_) => Self::Exhausted,
            ConnectError::Tls(fault) => Self::Tls { fault, nothing_sent: true },
            ConnectError::Io(_) => Self::Connect,
        }
    }
}
