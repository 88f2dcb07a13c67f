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
    /// The upstream's certificate is over, or its time has not come.
    TlsExpired,
    /// The upstream's certificate is for somebody else.
    TlsWrongName,
    /// Nobody who is believed certifies the upstream.
    TlsUnknownIssuer,
    /// The upstream's certificate is bad in another way.
    TlsBadCertificate,
    /// The upstream refuses TLS with this proxy: most likely it wants another client certificate.
    TlsRefused,
    /// There is no version, cipher or protocol of TLS that the upstream speaks, too.
    TlsNoOverlap,
    /// The upstream does not speak TLS.
    TlsNotSpoken,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 23] = [
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
        Self::TlsExpired,
        Self::TlsWrongName,
        Self::TlsUnknownIssuer,
        Self::TlsBadCertificate,
        Self::TlsRefused,
        Self::TlsNoOverlap,
        Self::TlsNotSpoken,
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
            Self::TlsExpired => "tls_expired",
            Self::TlsWrongName => "tls_wrong_name",
            Self::TlsUnknownIssuer => "tls_unknown_issuer",
            Self::TlsBadCertificate => "tls_bad_certificate",
            Self::TlsRefused => "tls_refused",
            Self::TlsNoOverlap => "tls_no_overlap",
            Self::TlsNotSpoken => "tls_not_spoken",
        }
    }
}
