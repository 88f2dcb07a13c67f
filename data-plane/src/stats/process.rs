//! Counters that belong to no pool.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::time::Instant;
use weir_proto::model::Kind;
use weir_proto::tls::Current;

use super::{Counter, Gauge, Sharded};
use crate::explain::live::Live;
use crate::http::downstream::Fault;
use crate::reason::Reason;
use crate::tls::{CertificatesHandle, Handshakes};

/// Counters of the process; shared by all threads.
#[derive(Debug)]
pub struct ProcessStats {
    /// Requests that no pool took.
    pub unrouted: Sharded<Unrouted>,
    /// One per listener, in their order.
    pub listeners: Vec<ListenerStats>,
    /// The stream to the control plane.
    pub discovery: DiscoveryStats,
    /// Certificates that clients are shown.
    pub certificates: CertificatesHandle,
    /// Access log lines lost because the writer could not keep up.
    pub log_lines_dropped: AtomicU64,
    /// Who listens to requests as they come.
    pub live: Arc<Live>,
    /// Spans lost because the collector could not be had, or refused them.
    pub trace_spans_dropped: AtomicU64,
}

/// What one worker counts of requests that no pool took.
#[derive(Debug, Default)]
pub struct Unrouted {
    /// Responses by class, 1xx to 5xx.
    pub responses: [Counter; 5],
    /// By reason.
    pub reasons: [Counter; Reason::ALL.len()],
}

/// Counters of one listener.
#[derive(Debug)]
pub struct ListenerStats {
    /// Its name.
    pub name: String,
    /// Connections open now.
    pub connections: Gauge,
    /// Handshakes of TLS.
    pub handshakes: Sharded<Handshakes>,
    /// Connections closed at once, by [`Refused`].
    pub refused: [AtomicU64; Refused::ALL.len()],
    /// Connections of HTTP/2 ended for what their clients did, by [`Fault`].
    pub faults: [AtomicU64; Fault::ALL.len()],
}

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Refused {
    /// Its listener has as many as it may have.
    Listener,
    /// Its client has.
    Client,
    /// It is to begin with the PROXY protocol, and does not come from a trusted proxy.
    Untrusted,
    /// It begins with something else than the PROXY protocol.
    HeaderMissing,
    /// Its header of the PROXY protocol is malformed.
    HeaderMalformed,
    /// The checksum in that header is wrong.
    HeaderChecksum,
    /// The connection ended before that header did.
    HeaderIncomplete,
    /// That header did not come in time.
    HeaderTimeout,
}

impl Refused {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Listener,
        Self::Client,
        Self::Untrusted,
        Self::HeaderMissing,
        Self::HeaderMalformed,
        Self::HeaderChecksum,
        Self::HeaderIncomplete,
        Self::HeaderTimeout,
    ];

    /// Whether it is about the PROXY protocol.
    #[must_use]
    pub fn is_of_proxy_protocol(self) -> bool {
        !matches!(self, Self::Listener | Self::Client)
    }

    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Client => "client",
            Self::Untrusted => "proxy_untrusted",
            Self::HeaderMissing => "proxy_missing",
            Self::HeaderMalformed => "proxy_malformed",
            Self::HeaderChecksum => "proxy_checksum",
            Self::HeaderIncomplete => "proxy_incomplete",
            Self::HeaderTimeout => "proxy_timeout",
        }
    }
}

impl ListenerStats {
    /// All at zero.
    #[must_use]
    pub fn new(name: &str, workers: usize) -> Self {
        let handshakes = Sharded::new(workers);
        Self {
            name: name.to_owned(),
            connections: Gauge::default(),
            handshakes,
            refused: Default::default(),
            faults: Default::default(),
        }
    }

    /// A connection was closed at once.
    pub fn refuse(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }
}

/// Counters of the stream to the control plane.
#[derive(Debug, Default)]
pub struct DiscoveryStats {
    /// Whether the stream is open.
    pub connected: AtomicBool,
    /// Resources refused, by kind in the order of [`Kind::ALL`].
    pub nacks: [AtomicU64; Kind::ALL.len()],
    /// Attempts to write the table to disk that failed.
    pub cache_write_failures: AtomicU64,
    /// The live table.
    pub table: Mutex<Option<TableInfo>>,
    /// What control planes are shown; unset without TLS.
    certificate: OnceLock<Arc<Current<ClientConfig>>>,
}

impl DiscoveryStats {
    /// From now on knows when this certificate ends.
    pub fn show_certificate(&self, certificate: Arc<Current<ClientConfig>>) {
        self.certificate.get_or_init(|| certificate);
    }

    /// When the certificate in force ends, in seconds since 1970; `None` without TLS.
    #[must_use]
    pub fn certificate_expiry(&self) -> Option<i64> {
        self.certificate.get().map(|certificate| certificate.expires())
    }
}

/// Which table is live.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Hex digits of the snapshot's version; empty if it came from the cache.
    pub version: String,
    /// When it went live.
    pub since: Instant,
}

impl ProcessStats {
    /// All at zero.
    #[must_use]
    pub fn new(listeners: &[String], workers: usize) -> Self {
        Self {
            unrouted: Sharded::new(workers),
            listeners: listeners.iter().map(|name| ListenerStats::new(name, workers)).collect(),
            discovery: DiscoveryStats::default(),
            certificates: CertificatesHandle::default(),
            log_lines_dropped: AtomicU64::new(0),
            live: Arc::default(),
            trace_spans_dropped: AtomicU64::new(0),
        }
    }
}
