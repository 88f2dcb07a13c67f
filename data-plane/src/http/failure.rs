//! What can go wrong with one try, classified in one place.

use std::error::Error as _;
use std::io;

use http::StatusCode;
use weir_proto::model::RetryOn;

use super::body::Source;
use super::request::Refusal;
use crate::reason::Reason;
use crate::upstream::{ConnectError, fastcgi};

/// A try that gave no response head.
#[derive(Debug)]
pub enum Failure {
    /// No connection was made.
    Connect,
    /// No connection was made in time.
    ConnectTimeout,
    /// The connection broke before the response head.
    Reset {
        /// Whether the upstream cannot have seen any of the request.
        nothing_sent: bool,
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
        if io_kind(error) == Some(io::ErrorKind::TimedOut) {
            return Self::Timeout;
        }
        Self::Reset { nothing_sent }
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
            Self::Reset { .. } => Reason::Reset,
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
            Self::Reset { .. } | Self::BadResponse => StatusCode::BAD_GATEWAY,
            Self::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::Timeout => "the backend did not answer in time\n",
            Self::Reset { .. } => "the backend broke off before it answered\n",
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
            Self::Connect | Self::ConnectTimeout => Some(RetryOn::ConnectFailure),
            Self::Reset { .. } | Self::BadResponse => Some(RetryOn::Reset),
            Self::Timeout => Some(RetryOn::Timeout),
            Self::Client | Self::ClientStalled | Self::TooLarge | Self::Unfit(_) | Self::Exhausted => None,
        }
    }

    /// Whether the upstream cannot have seen any of the request.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        matches!(self, Self::Connect | Self::ConnectTimeout | Self::Reset { nothing_sent: true })
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Timeout => Self::ConnectTimeout,
            ConnectError::Exhausted(_) => Self::Exhausted,
            ConnectError::Io(_) => Self::Connect,
        }
    }
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}
