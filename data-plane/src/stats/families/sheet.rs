//! The list of metrics, and a sheet on which their series are written down.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Series, MetricFamily, MetricType};

use crate::stats::histogram::Summary;

/// A metric.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(super) enum Metric {
    Requests,
    RequestDuration,
    UpstreamDuration,
    RequestsActive,
    RequestsActiveMax,
    QueueDepth,
    QueueDepthMax,
    Queued,
    QueueWait,
    ConnectionsActive,
    ConnectionsRefused,
    Http2Faults,
    TlsHandshakes,
    TlsHandshakeFailures,
    TlsCertificateExpiry,
    TcpConnections,
    TcpBytes,
    Dropped,
    Retries,
    BackendUp,
    BackendFails,
    HealthTransitions,
    PoolPanic,
    PoolEndpointsUp,
    Mirrored,
    MirrorDropped,
    PluginDuration,
    PluginFailures,
    PluginCount,
    PluginCountDropped,
    TableVersion,
    TableAge,
    Nacks,
    Connected,
    CertificateExpiry,
    CacheWriteFailures,
    LogLinesDropped,
    TraceSpansDropped,
    BuildInfo,
}

/// What Prometheus is told of a metric.
#[derive(Debug)]
struct Spec {
    metric: Metric,
    kind: MetricType,
    name: &'static str,
    /// In the order of their names.
    labels: &'static [&'static str],
    help: &'static str,
}

const fn counter(metric: Metric, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { metric, kind: MetricType::COUNTER, name, labels, help }
}

const fn gauge(metric: Metric, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { metric, kind: MetricType::GAUGE, name, labels, help }
}

const fn histogram(metric: Metric, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { metric, kind: MetricType::HISTOGRAM, name, labels, help }
}

/// In the order of [`Metric`].
#[rustfmt::skip] // a table
const SPECS: [Spec; 39] = [
    counter(Metric::Requests, "weir_requests_total", &["backend", "code", "pool"],
        "Responses by class; without a backend if Weir made them."),
    histogram(Metric::RequestDuration, "weir_request_duration_seconds", &["pool"],
        "From the request head to the end of the response."),
    histogram(Metric::UpstreamDuration, "weir_upstream_duration_seconds", &["pool"],
        "From the choice of an endpoint to its response head."),
    gauge(Metric::RequestsActive, "weir_requests_active", &["backend", "pool"],
        "Requests in flight."),
    gauge(Metric::RequestsActiveMax, "weir_requests_active_max", &["backend", "pool"],
        "The most requests that ever were in flight to one endpoint."),
    gauge(Metric::QueueDepth, "weir_queue_depth", &["pool"],
        "Requests that wait for a backend with room."),
    gauge(Metric::QueueDepthMax, "weir_queue_depth_max", &["pool"],
        "The most requests that ever waited."),
    counter(Metric::Queued, "weir_queued_total", &["pool"],
        "Requests that had to wait."),
    histogram(Metric::QueueWait, "weir_queue_wait_seconds", &["pool"],
        "Time that requests waited for a backend with room."),
    gauge(Metric::ConnectionsActive, "weir_connections_active", &["listener"],
        "Client connections."),
    counter(Metric::ConnectionsRefused, "weir_connections_refused_total", &["listener", "reason"],
        "Client connections closed at once, as the listener or the client had as many as it may have."),
    counter(Metric::Http2Faults, "weir_http2_faults_total", &["listener", "reason"],
        "Connections of HTTP/2 ended for what their clients did."),
    counter(Metric::TlsHandshakes, "weir_tls_handshakes_total", &["listener", "session"],
        "Handshakes done, of new sessions and of resumed ones."),
    counter(Metric::TlsHandshakeFailures, "weir_tls_handshake_failures_total", &["listener", "reason"],
        "Handshakes that failed."),
    gauge(Metric::TlsCertificateExpiry, "weir_tls_certificate_expiry_seconds", &["certificate"],
        "Seconds until a certificate that clients are shown ends; below 0 if it is over."),
    counter(Metric::TcpConnections, "weir_tcp_connections_total", &["backend", "pool"],
        "Connections of TCP that a backend took."),
    counter(Metric::TcpBytes, "weir_tcp_bytes_total", &["backend", "direction", "pool"],
        "Bytes of connections of TCP, to the backend (upstream) and to the client (downstream)."),
    counter(Metric::Dropped, "weir_dropped_total", &["pool", "reason"],
        "Requests that Weir answered itself as it could not serve them."),
    counter(Metric::Retries, "weir_retries_total", &["pool", "reason"],
        "Retries, by the failure before."),
    gauge(Metric::BackendUp, "weir_backend_up", &["backend", "pool"],
        "Endpoints that are up."),
    counter(Metric::BackendFails, "weir_backend_fails_total", &["backend", "pool", "reason"],
        "Failed tries."),
    counter(Metric::HealthTransitions, "weir_health_transitions_total", &["backend", "pool", "to"],
        "Endpoints that went up or down."),
    gauge(Metric::PoolPanic, "weir_pool_panic", &["pool"],
        "1 while too few endpoints are up and health is ignored."),
    gauge(Metric::PoolEndpointsUp, "weir_pool_endpoints_up", &["pool"],
        "Endpoints of an enabled pool that are up, enabled and have weight."),
    counter(Metric::Mirrored, "weir_mirrored_total", &["pool"],
        "Copies of the pool's requests that were sent to another pool."),
    counter(Metric::MirrorDropped, "weir_mirror_dropped_total", &["pool", "reason"],
        "Requests of the pool that should have been copied to another one and were not."),
    histogram(Metric::PluginDuration, "weir_plugin_duration_seconds", &["hook", "plugin"],
        "Time of a call of a plugin's hook."),
    counter(Metric::PluginFailures, "weir_plugin_failures_total", &["plugin", "reason"],
        "Calls of plugins that failed."),
    counter(Metric::PluginCount, "weir_plugin_count_total", &["name", "plugin"],
        "What scripts count, with labels of their own."),
    counter(Metric::PluginCountDropped, "weir_plugin_count_dropped_total", &["plugin"],
        "What scripts counted in a series more than they may have."),
    gauge(Metric::TableVersion, "weir_table_version_info", &["version"],
        "The snapshot in force; without a version if it came from the cache."),
    gauge(Metric::TableAge, "weir_table_age_seconds", &[],
        "Time since the table in force went live."),
    counter(Metric::Nacks, "weir_nacks_total", &["kind"],
        "Resources refused."),
    gauge(Metric::Connected, "weir_control_plane_connected", &[],
        "1 while the stream to the control plane is open."),
    gauge(Metric::CertificateExpiry, "weir_certificate_expiry_timestamp_seconds", &[],
        "When the certificate that control planes are shown ends."),
    counter(Metric::CacheWriteFailures, "weir_cache_write_failures_total", &[],
        "Failed writes of the table to disk."),
    counter(Metric::LogLinesDropped, "weir_access_log_dropped_total", &[],
        "Access log lines lost."),
    counter(Metric::TraceSpansDropped, "weir_trace_spans_dropped_total", &[],
        "Spans of traces lost."),
    gauge(Metric::BuildInfo, "weir_build_info", &["version"],
        "This program."),
];

/// A metric finds its line by its number.
const _: () = {
    let mut index = 0;
    while index < SPECS.len() {
        assert!(SPECS[index].metric as usize == index);
        index += 1;
    }
};

/// Series by metric.
#[derive(Debug)]
pub(super) struct Sheet([Vec<Series>; SPECS.len()]);

impl Default for Sheet {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Vec::new()))
    }
}

impl Sheet {
    /// A series of a counter; `values` are those of the metric's labels.
    pub(super) fn count(&mut self, metric: Metric, values: &[&str], count: u64) {
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        let mut series = series(metric, values);
        series.set_counter(counter);
        self.0[metric as usize].push(series);
    }

    /// A series of a counter, unless it never counted.
    pub(super) fn count_if_any(&mut self, metric: Metric, values: &[&str], count: u64) {
        if count > 0 {
            self.count(metric, values, count);
        }
    }

    /// A series of a counter with labels besides the metric's.
    pub(super) fn count_with<'a>(
        &mut self,
        metric: Metric,
        values: &[&'a str],
        more: impl Iterator<Item = (&'a str, &'a str)>,
        count: f64,
    ) {
        let mut counter = Counter::default();
        counter.set_value(count);
        let own = SPECS[metric as usize].labels.iter().copied().zip(values.iter().copied());
        let mut labels: Vec<(&str, &str)> = own.chain(more).collect();
        labels.sort_unstable();
        let mut series = Series::from_label(labels.into_iter().map(|(name, value)| label(name, value)).collect());
        series.set_counter(counter);
        self.0[metric as usize].push(series);
    }

    /// A series of a gauge.
    pub(super) fn gauge(&mut self, metric: Metric, values: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut series = series(metric, values);
        series.set_gauge(gauge);
        self.0[metric as usize].push(series);
    }

    /// A series of a histogram, unless nothing was observed.
    pub(super) fn histogram_if_any(&mut self, metric: Metric, values: &[&str], summary: &Summary) {
        if summary.count == 0 {
            return;
        }
        let mut histogram = Histogram::default();
        histogram.set_sample_count(summary.count);
        histogram.set_sample_sum(summary.sum);
        histogram.set_bucket(summary.cumulative.iter().map(|(bound, count)| bucket(*bound, *count)).collect());
        let mut series = series(metric, values);
        series.set_histogram(histogram);
        self.0[metric as usize].push(series);
    }

    /// The metrics that have series.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        let filled = SPECS.iter().zip(self.0).filter(|(_, series)| !series.is_empty());
        filled.map(|(spec, series)| family(spec, series)).collect()
    }
}

fn family(spec: &Spec, series: Vec<Series>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(spec.name.to_owned());
    family.set_help(spec.help.to_owned());
    family.set_field_type(spec.kind);
    family.set_metric(series);
    family
}

fn series(metric: Metric, values: &[&str]) -> Series {
    let labels = SPECS[metric as usize].labels;
    Series::from_label(labels.iter().zip(values).map(|(name, value)| label(name, value)).collect())
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

pub(super) fn bucket(bound: f64, count: u64) -> Bucket {
    let mut bucket = Bucket::default();
    bucket.set_upper_bound(bound);
    bucket.set_cumulative_count(count);
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_follow_the_customs_of_prometheus() {
        for Spec { kind, name, labels, help, .. } in &SPECS {
            assert!(labels.is_sorted(), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricType::COUNTER, "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn t1_no_metric_has_a_name_that_users_may_make_up() {
        let custom = crate::stats::families::custom::PREFIX;
        assert!(SPECS.iter().all(|spec| !spec.name.starts_with(custom)));
    }
}
