//! What a `Metrics` plugin has counted in one pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::model::plugin::param::{MetricKind, Metrics};

use super::bounded::Bounded;

/// The value of every label of the series for what would be one too many.
const OTHER: &str = "other";
/// Most bytes of the value of a label.
const MAX_VALUE: usize = 128;

/// Values of the metric's labels, in their order.
pub type Labels = Vec<String>;

/// One pool's series of a metric.
#[derive(Debug)]
pub struct Tally {
    metric: Arc<Metrics>,
    series: Bounded<Labels, Sum>,
}

/// What was observed of one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    /// How many values were at most the bound of this place, and more than that of the one before; the last place is for
    /// those beyond all bounds. A counter has no bounds.
    pub counts: Vec<u64>,
    /// All of them together.
    pub sum: f64,
}

impl Tally {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(metric: Arc<Metrics>, workers: usize) -> Self {
        Self { series: Bounded::new(workers, metric.max_series), metric }
    }

    /// What it counts.
    #[must_use]
    pub fn metric(&self) -> &Metrics {
        &self.metric
    }

    /// Upper bounds, of a histogram.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        match &self.metric.kind {
            MetricKind::Counter => &[],
            MetricKind::Histogram(bounds) => bounds,
        }
    }

    /// Counts a value on one worker. What would be one series too many is counted in that of the others.
    pub fn observe(&self, worker: usize, mut labels: Labels, value: f64) {
        labels.iter_mut().for_each(shorten);
        let bounds = self.bounds();
        let observe = |sum: &mut Sum| sum.observe(bounds, value);
        if !self.series.change(worker, &labels, observe) {
            labels.iter_mut().for_each(|label| OTHER.clone_into(label));
            self.series.change_beyond(worker, labels, observe);
        }
    }

    /// All series.
    #[must_use]
    pub fn series(&self) -> BTreeMap<Labels, Sum> {
        self.series.sums(Sum::add)
    }
}

/// A client must not fill the memory with a path.
fn shorten(label: &mut String) {
    label.truncate(label.floor_char_boundary(MAX_VALUE));
}

impl Sum {
    fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        self.counts[bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    fn add(&mut self, other: &Self) {
        self.counts.resize(other.counts.len(), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::plugin::param::Measure;

    use super::*;

    fn tally(kind: MetricKind, max_series: usize) -> Tally {
        let (name, help) = ("a".to_owned(), "A.".to_owned());
        let metric = Metrics { name, help, kind, labels: Vec::new(), value: Measure::Requests, max_series };
        Tally::new(Arc::new(metric), 2)
    }

    fn labels(texts: &[&str]) -> Labels {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn t1_series_beyond_the_most_are_counted_as_others() {
        let tally = tally(MetricKind::Counter, 2);
        for (worker, path) in [(0, "/a"), (1, "/b"), (0, "/c"), (1, "/d"), (1, "/a"), (0, "other")] {
            tally.observe(worker, labels(&[path, "GET"]), 1.0);
        }
        let sums: Vec<(Labels, f64)> = tally.series().into_iter().map(|(labels, sum)| (labels, sum.sum)).collect();
        let expected =
            [(labels(&["/a", "GET"]), 2.0), (labels(&["/b", "GET"]), 1.0), (labels(&["other", "other"]), 3.0)];
        assert_eq!(sums, expected);
    }

    #[test]
    fn t1_long_values_are_cut_between_characters() {
        let tally = tally(MetricKind::Counter, 9);
        tally.observe(0, labels(&[&"ü".repeat(100)]), 1.0);
        tally.observe(0, labels(&[&format!("{}x", "y".repeat(127))]), 1.0);
        tally.observe(0, labels(&[&format!("x{}", "ü".repeat(100))]), 1.0);
        let lengths: Vec<usize> = tally.series().keys().map(|labels| labels[0].len()).collect();
        assert_eq!(lengths, [127, 128, 128]);
    }

    #[test]
    fn t1_values_are_counted_by_bucket_over_all_workers() {
        let tally = tally(MetricKind::Histogram(vec![1.0, 2.0]), 9);
        for (worker, value) in [(0, 0.5), (1, 1.0), (0, 1.5), (1, 7.0)] {
            tally.observe(worker, Labels::new(), value);
        }
        assert_eq!(tally.series()[&Labels::new()], Sum { counts: vec![2, 1, 1], sum: 10.0 });
    }
}
