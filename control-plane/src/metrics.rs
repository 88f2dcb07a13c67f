//! Metric families of the control plane, in a registry of their own.

mod expiry;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use rustls::ServerConfig;
use weir_proto::model::Kind;
use weir_proto::tls::Current;

use crate::held::Delta;
use crate::mtls::Refusal;
use crate::status::Board;

use expiry::Expiry;

/// From 1 ms to 10 s.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0];

/// Every family.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Proxies connected now.
    pub proxies_connected: IntGauge,
    /// Time from a change to its ack by one proxy.
    pub propagation: Histogram,
    /// Proxies turned away, by reason.
    pub refused_proxies: IntCounterVec,
    /// 1 = this replica writes statuses; shown only by [`Metrics::show_status_writer`].
    pub status_writer: IntGauge,
    deltas: IntCounterVec,
    status_patches: IntCounterVec,
    nacks: IntCounterVec,
    resources: IntGaugeVec,
    sent_resources: IntCounterVec,
    sent_bytes: IntCounter,
    watch_failures: IntCounterVec,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// If two families had the same name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let kinds = Kind::ALL.map(Kind::as_str);
        let kind: Label<'_> = ("kind", &kinds);
        let given = Kind::GIVEN.map(Kind::as_str);
        let propagation = HistogramOpts::new("weir_propagation_seconds", "Time from a resource's change to its ack.");
        Ok(Self {
            proxies_connected: gauge(&registry, "weir_proxies_connected", "Proxies connected now.")?,
            propagation: register(&registry, Histogram::with_opts(propagation.buckets(SECONDS.to_vec()))?)?,
            refused_proxies: counters(
                &registry,
                "weir_refused_proxies_total",
                "Proxies turned away for what their certificate lacks.",
                &[("reason", &Refusal::REASONS)],
            )?,
            status_writer: IntGauge::new("weir_status_writer", "1 if this replica writes statuses, else 0.")?,
            status_patches: counters(
                &registry,
                "weir_status_patches_total",
                "Statuses written into objects of the cluster.",
                &[("kind", &given), ("result", &["ok", "error"])],
            )?,
            deltas: counters(
                &registry,
                "weir_deltas_total",
                "Deltas answered, ack or nack.",
                &[("result", &["ack", "nack"])],
            )?,
            nacks: counters(&registry, "weir_nacks_total", "Resources refused by proxies.", &[kind])?,
            resources: gauges(&registry, "weir_resources", "Resources given by users.", &["kind", "accepted"])?,
            sent_resources: counters(
                &registry,
                "weir_sent_resources_total",
                "Resources sent to proxies, by what was sent: upsert or removal.",
                &[kind, ("op", &["upsert", "removal"])],
            )?,
            sent_bytes: register(
                &registry,
                IntCounter::new("weir_sent_bytes_total", "Bytes of deltas sent to proxies.")?,
            )?,
            watch_failures: counters(
                &registry,
                "weir_watch_failures_total",
                "Failures to list or watch objects of the cluster.",
                // Those that are watched have theirs from the start.
                &[("kind", &[])],
            )?,
            registry,
        })
    }

    /// From now on shows when the certificate in force ends.
    pub(crate) fn show_expiry(&self, certificate: Arc<Current<ServerConfig>>) -> prometheus::Result<()> {
        self.registry.register(Box::new(Expiry::new("weir_certificate_expiry_timestamp_seconds", certificate)?))
    }

    /// From now on, whether this replica writes statuses is shown: outside a cluster there is nobody to write them, and
    /// nothing to raise an alarm about.
    ///
    /// # Errors
    /// If it is shown already.
    pub(crate) fn show_status_writer(&self) -> prometheus::Result<()> {
        self.registry.register(Box::new(self.status_writer.clone()))
    }

    /// Counts a delta on its way to one proxy.
    pub(crate) fn offered(&self, delta: &Delta) {
        for kind in Kind::ALL {
            let upserts = delta.upserts.iter().filter(|(key, _)| key.kind == kind).count();
            let removed = delta.removed.iter().filter(|key| key.kind == kind).count();
            for (op, count) in [("upsert", upserts), ("removal", removed)].into_iter().filter(|(_, count)| *count > 0) {
                self.sent_resources.with_label_values(&[kind.as_str(), op]).inc_by(count as u64);
            }
        }
    }

    /// Counts a chunk of this many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }

    /// Counts an answer with the kinds it refused.
    pub(crate) fn answered(&self, refused: &[Kind]) {
        let result = if refused.is_empty() { "ack" } else { "nack" };
        self.deltas.with_label_values(&[result]).inc();
        for kind in refused {
            self.nacks.with_label_values(&[kind.as_str()]).inc();
        }
    }

    /// Counts an attempt to write a status.
    pub(crate) fn patched(&self, kind: Kind, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        self.status_patches.with_label_values(&[kind.as_str(), result]).inc();
    }

    /// The failed lists and watches of a kind.
    pub(crate) fn watch_failures(&self, kind: &str) -> IntCounter {
        self.watch_failures.with_label_values(&[kind])
    }

    /// All families in Prometheus' text format.
    pub(crate) fn encode(&self, board: &Board) -> Vec<u8> {
        self.count_resources(board);
        let mut text = Vec::new();
        // Writing to memory fails for no family that could be registered.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }

    fn count_resources(&self, board: &Board) {
        for kind in Kind::GIVEN {
            let (good, bad) = board.count(kind);
            for (accepted, count) in [("true", good), ("false", bad)] {
                let gauge = self.resources.with_label_values(&[kind.as_str(), accepted]);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}

/// A label and its values.
type Label<'a> = (&'a str, &'a [&'a str]);

/// With all its series from the start: Prometheus would not see the first step of one that appears at 1.
fn counters(registry: &Registry, name: &str, help: &str, labels: &[Label<'_>]) -> prometheus::Result<IntCounterVec> {
    let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
    let family = register(registry, IntCounterVec::new(Opts::new(name, help), &names)?)?;
    combinations(labels).iter().for_each(|values| drop(family.with_label_values(values)));
    Ok(family)
}

fn combinations<'a>(labels: &[Label<'a>]) -> Vec<Vec<&'a str>> {
    labels.iter().fold(vec![Vec::new()], |all, (_, values)| {
        let longer = |shorter: &Vec<&'a str>| values.iter().map(|value| [&shorter[..], &[value]].concat()).collect();
        all.iter().flat_map(|shorter| -> Vec<_> { longer(shorter) }).collect()
    })
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::new(name, help)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_counters_have_all_their_series_from_the_start() {
        let text = String::from_utf8(Metrics::new().unwrap().encode(&Board::default())).unwrap();
        for series in [
            r#"weir_deltas_total{result="nack"} 0"#,
            r#"weir_nacks_total{kind="Backend"} 0"#,
            r#"weir_sent_resources_total{kind="Pool",op="removal"} 0"#,
        ] {
            assert!(text.lines().any(|line| line == series), "no {series} in {text}");
        }
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
