//! Proxies that are turned away: counted each, and logged at a bounded rate, so that one that tries again and again
//! cannot fill the disk.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// For each reason, at most one line in this time.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Why a proxy gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It showed none, or does not speak TLS at all.
    #[error("it shows no certificate")]
    NoCertificate,
    /// It is not of our authority, its time is over, or it cannot be understood.
    #[error("its certificate is refused: {0}")]
    BadCertificate(String),
    /// It is a good one, but names no namespace.
    #[error("its certificate names no namespace: it needs a URI such as weir://namespaces/shop")]
    NoNamespace,
}

impl Refusal {
    /// The words for them in metrics.
    pub(crate) const REASONS: [&str; 3] = ["no_certificate", "bad_certificate", "no_namespace"];

    /// Of a handshake that failed; `None` if that was no proxy's fault, as with a probe that only connects.
    #[must_use]
    pub fn of_handshake(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::NoCertificatesPresented | rustls::Error::InvalidMessage(_) => Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(why) => Some(Self::BadCertificate(why.to_string())),
            _ => None,
        }
    }

    /// The word for it in metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        Self::REASONS[self.index()]
    }

    fn index(&self) -> usize {
        match self {
            Self::NoCertificate => 0,
            Self::BadCertificate(_) => 1,
            Self::NoNamespace => 2,
        }
    }
}

/// Who was turned away.
#[derive(Debug)]
pub struct Refusals {
    counters: [IntCounter; Refusal::REASONS.len()],
    lines: Mutex<[Lines; Refusal::REASONS.len()]>,
}

/// The lines of one reason.
#[derive(Debug, Default)]
struct Lines {
    last: Option<Instant>,
    unsaid: u64,
}

impl Refusals {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let counters = Refusal::REASONS.map(|reason| metrics.refused_proxies.with_label_values(&[reason]));
        Self { counters, lines: Mutex::default() }
    }

    /// A proxy at `address` was turned away.
    pub fn note(&self, address: SocketAddr, refusal: &Refusal) {
        self.counters[refusal.index()].inc();
        if let Some(unsaid) = self.lines.lock()[refusal.index()].next(Instant::now()) {
            tracing::warn!(%address, reason = refusal.reason(), unsaid, "refused a proxy: {refusal}");
        }
    }
}

impl Lines {
    /// How many were not said since the last line, if it is time for another.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + LINE_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_time_says_how_many_there_were() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        assert_eq!(lines.next(start), Some(0));
        for i in 0..1000 {
            assert_eq!(lines.next(start + LINE_EVERY * i / 1001), None);
        }
        assert_eq!(lines.next(start + LINE_EVERY), Some(1000));
        assert_eq!(lines.next(start + LINE_EVERY * 2), Some(0));
    }

    #[test]
    fn handshakes_fail_for_a_proxys_fault_or_not() {
        let of = |error: rustls::Error| Refusal::of_handshake(&io::Error::other(error)).map(|r| r.reason());
        let message = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert_eq!(of(rustls::Error::NoCertificatesPresented), Some("no_certificate"));
        assert_eq!(of(message), Some("no_certificate"), "plain HTTP/2");
        assert_eq!(of(rustls::CertificateError::UnknownIssuer.into()), Some("bad_certificate"));
        assert_eq!(of(rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA)), None, "it refused us");
        assert_eq!(Refusal::of_handshake(&io::ErrorKind::UnexpectedEof.into()), None, "a probe");
    }
}
