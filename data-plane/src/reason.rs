//! Why a request was not simply answered by a backend: one short word, the same in metrics, access log
//! and JSON.

/// A short reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Reason {
    /// No rule matches.
    NoRoute,
    /// Nothing in the chain is available.
    NoBackend,
    /// The pool is disabled.
    Disabled,
    /// A connection was refused or failed.
    ConnectFailure,
    /// A connection was not made in time.
    ConnectTimeout,
    /// The upstream connection broke before the response head.
    Reset,
    /// No response head in time.
    Timeout,
    /// The upstream's answer is no HTTP, or its status counts as a failure.
    BadResponse,
    /// The client left.
    ClientAbort,
    /// The request is malformed.
    BadRequest,
    /// Its target, its headers or its body are larger than they may be.
    TooLarge,
    /// Its body does not come, or comes too slowly.
    TooSlow,
    /// A plugin answered it, or failed.
    Plugin,
    /// Every backend was full, and the queue too.
    QueueFull,
    /// It waited too long in the queue.
    QueueTimeout,
    /// It came by a connection that does not do for its pool.
    Misdirected,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::NoRoute,
        Self::NoBackend,
        Self::Disabled,
        Self::ConnectFailure,
        Self::ConnectTimeout,
        Self::Reset,
        Self::Timeout,
        Self::BadResponse,
        Self::ClientAbort,
        Self::BadRequest,
        Self::TooLarge,
        Self::TooSlow,
        Self::Plugin,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::Misdirected,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoBackend => "no_backend",
            Self::Disabled => "disabled",
            Self::ConnectFailure => "connect_failure",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadResponse => "bad_response",
            Self::ClientAbort => "client_abort",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Plugin => "plugin",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Misdirected => "misdirected",
        }
    }
}
