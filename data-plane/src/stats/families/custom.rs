//! Metrics that users make up, under names that Weir's own never have.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use weir_proto::model::plugin::param::{MetricKind, Metrics};

use super::sheet::{bucket, label};
use crate::plugin::tally::{Labels, Sum, Tally};
use crate::pool::Pool;

/// Before the name that the user gave.
pub(super) const PREFIX: &str = "weir_custom_";

/// The metrics of these pools that have series. One name is one family, whichever pools have it: what kind it is of
/// follows from the name, and no two pools have the same series, as each has the pool's name on it.
pub(super) fn collect<'a>(pools: impl Iterator<Item = &'a Arc<Pool>>) -> Vec<MetricFamily> {
    let mut families: BTreeMap<&str, MetricFamily> = BTreeMap::new();
    for pool in pools {
        let links = pool.plugins.iter().flat_map(|chain| chain.links());
        for tally in links.filter_map(|link| link.tally.as_deref()) {
            let metric = tally.metric();
            let name = pool.config.name.to_string();
            let all = tally.series();
            let all = all.iter().map(|(labels, sum)| series(tally, &name, labels, sum));
            families.entry(&metric.name).or_insert_with(|| family(metric)).mut_metric().extend(all);
        }
    }
    families.into_values().filter(|family| !family.get_metric().is_empty()).collect()
}

fn family(metric: &Metrics) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{}", metric.name));
    family.set_help(metric.help.clone());
    family.set_field_type(match metric.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Histogram(_) => MetricType::HISTOGRAM,
    });
    family
}

fn series(tally: &Tally, pool: &str, labels: &Labels, sum: &Sum) -> Metric {
    let own = tally.metric().labels.iter().map(|(name, _)| name.as_str()).zip(labels.iter().map(String::as_str));
    let mut labels: Vec<(&str, &str)> = own.chain([("pool", pool)]).collect();
    labels.sort_unstable();
    let labels: Vec<LabelPair> = labels.into_iter().map(|(name, value)| label(name, value)).collect();
    let mut series = Metric::from_label(labels);
    match &tally.metric().kind {
        MetricKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(sum.sum);
            series.set_counter(counter);
        }
        MetricKind::Histogram(bounds) => series.set_histogram(histogram(bounds, sum)),
    }
    series
}

fn histogram(bounds: &[f64], sum: &Sum) -> Histogram {
    let mut count = 0;
    let cumulative = sum.counts.iter().map(|own| {
        count += own;
        count
    });
    let buckets: Vec<Bucket> = bounds.iter().zip(cumulative).map(|(bound, count)| bucket(*bound, count)).collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(sum.counts.iter().sum());
    histogram.set_sample_sum(sum.sum);
    histogram
}
