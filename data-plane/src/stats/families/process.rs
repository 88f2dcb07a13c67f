//! Series that belong to no pool.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use weir_proto::model::Kind;

use crate::http::downstream::Fault;
use crate::reason::Reason;
use crate::stats::ProcessStats;
use crate::stats::process::{DiscoveryStats, ListenerStats, Refused};
use crate::tls::Failure;

use super::pool::CLASSES;
use super::sheet::{Metric, Sheet};

/// Writes down everything of `stats`.
pub(super) fn collect(stats: &ProcessStats, sheet: &mut Sheet) {
    for listener in &stats.listeners {
        sheet.gauge(Metric::ConnectionsActive, &[&listener.name], f64::from(listener.connections.current()));
        handshakes(listener, sheet);
        refused(listener, sheet);
        for fault in Fault::ALL {
            let count = listener.faults[fault as usize].load(Relaxed);
            sheet.count(Metric::Http2Faults, &[&listener.name, fault.as_str()], count);
        }
    }
    certificates(stats, sheet);
    unrouted(stats, sheet);
    discovery(&stats.discovery, sheet);
    sheet.count(Metric::LogLinesDropped, &[], stats.log_lines_dropped.load(Relaxed));
    sheet.count(Metric::TraceSpansDropped, &[], stats.trace_spans_dropped.load(Relaxed));
    sheet.gauge(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
}

/// Few listeners know the PROXY protocol: what is wrong with its headers shows once something was.
fn refused(listener: &ListenerStats, sheet: &mut Sheet) {
    for reason in Refused::ALL {
        let count = listener.refused[reason as usize].load(Relaxed);
        let labels = [listener.name.as_str(), reason.as_str()];
        if reason.is_of_proxy_protocol() {
            sheet.count_if_any(Metric::ConnectionsRefused, &labels, count);
        } else {
            sheet.count(Metric::ConnectionsRefused, &labels, count);
        }
    }
}

fn handshakes(listener: &ListenerStats, sheet: &mut Sheet) {
    let ListenerStats { name, handshakes, .. } = listener;
    sheet.count_if_any(Metric::TlsHandshakes, &[name, "full"], handshakes.sum(|shard| shard.full.get()));
    sheet.count_if_any(Metric::TlsHandshakes, &[name, "resumed"], handshakes.sum(|shard| shard.resumed.get()));
    for failure in Failure::ALL {
        let count = handshakes.sum(|shard| shard.failed[failure as usize].get());
        sheet.count_if_any(Metric::TlsHandshakeFailures, &[name, failure.as_str()], count);
    }
}

fn certificates(stats: &ProcessStats, sheet: &mut Sheet) {
    let now = Timestamp::now().as_second();
    for (name, expires) in &stats.certificates.load().shown {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        sheet.gauge(Metric::TlsCertificateExpiry, &[name], (expires - now) as f64);
    }
}

/// Requests that no pool took have neither pool nor backend.
fn unrouted(stats: &ProcessStats, sheet: &mut Sheet) {
    for (class, code) in CLASSES.iter().enumerate() {
        let count = stats.unrouted.sum(|shard| shard.responses[class].get());
        sheet.count_if_any(Metric::Requests, &["", code, ""], count);
    }
    for reason in Reason::ALL {
        let count = stats.unrouted.sum(|shard| shard.reasons[reason as usize].get());
        sheet.count_if_any(Metric::Dropped, &["", reason.as_str()], count);
    }
}

fn discovery(stats: &DiscoveryStats, sheet: &mut Sheet) {
    sheet.gauge(Metric::Connected, &[], f64::from(u8::from(stats.connected.load(Relaxed))));
    if let Some(expires) = stats.certificate_expiry() {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        sheet.gauge(Metric::CertificateExpiry, &[], expires as f64);
    }
    sheet.count(Metric::CacheWriteFailures, &[], stats.cache_write_failures.load(Relaxed));
    for (kind, count) in Kind::ALL.iter().zip(&stats.nacks) {
        sheet.count(Metric::Nacks, &[kind.as_str()], count.load(Relaxed));
    }
    if let Some(table) = &*stats.table.lock() {
        sheet.gauge(Metric::TableVersion, &[&table.version], 1.0);
        sheet.gauge(Metric::TableAge, &[], table.since.elapsed().as_secs_f64());
    }
}
