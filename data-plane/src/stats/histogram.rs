//! Histograms of durations.

use std::marker::PhantomData;
use std::time::Duration;

use super::Counter;

/// How many buckets have an upper bound.
pub const BUCKETS: usize = 14;

/// Upper bounds of buckets.
pub trait Scale {
    /// In nanoseconds, ascending.
    const NANOS: [u64; BUCKETS];
}

/// Of requests: half a millisecond to ten seconds.
#[derive(Debug, Default)]
pub struct OfRequests;

/// Of calls within this process: half a microsecond to a tenth of a second.
#[derive(Debug, Default)]
pub struct OfCalls;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl Scale for OfRequests {
    const NANOS: [u64; BUCKETS] = [
        MILLISECOND / 2,
        MILLISECOND,
        MILLISECOND * 5 / 2,
        MILLISECOND * 5,
        MILLISECOND * 10,
        MILLISECOND * 25,
        MILLISECOND * 50,
        MILLISECOND * 100,
        MILLISECOND * 250,
        MILLISECOND * 500,
        SECOND,
        SECOND * 5 / 2,
        SECOND * 5,
        SECOND * 10,
    ];
}

impl Scale for OfCalls {
    const NANOS: [u64; BUCKETS] = [
        MICROSECOND / 2,
        MICROSECOND,
        MICROSECOND * 5 / 2,
        MICROSECOND * 5,
        MICROSECOND * 10,
        MICROSECOND * 25,
        MICROSECOND * 50,
        MICROSECOND * 100,
        MICROSECOND * 250,
        MILLISECOND,
        MILLISECOND * 5,
        MILLISECOND * 10,
        MILLISECOND * 50,
        MILLISECOND * 100,
    ];
}

/// Durations of one worker, by bucket.
#[derive(Debug, Default)]
pub struct Histogram<S = OfRequests> {
    buckets: [Counter; BUCKETS + 1],
    sum_nanos: Counter,
    scale: PhantomData<S>,
}

/// Observations by bucket; the last has no upper bound.
pub type Counts = [u64; BUCKETS + 1];

/// Durations of all workers, ready for Prometheus.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// Upper bounds in seconds, each with the observations at or below it.
    pub cumulative: [(f64, u64); BUCKETS],
    /// All observations.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

impl<S: Scale> Histogram<S> {
    /// Notes one duration; only the owning worker may call this.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = S::NANOS.partition_point(|bound| *bound < nanos);
        self.buckets[bucket].increment();
        self.sum_nanos.add(nanos);
    }

    /// All observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// Adds its observations by bucket.
    pub fn add_to(&self, counts: &mut Counts) {
        counts.iter_mut().zip(&self.buckets).for_each(|(count, bucket)| *count += bucket.get());
    }

    /// Adds up the shards of all workers.
    pub fn summarise<'a>(shards: impl Iterator<Item = &'a Self>) -> Summary
    where
        S: 'a,
    {
        let (mut counts, mut nanos) = ([0_u64; BUCKETS + 1], 0_u64);
        for shard in shards {
            shard.add_to(&mut counts);
            nanos = nanos.wrapping_add(shard.sum_nanos.get());
        }
        let mut summary = Summary { sum: Duration::from_nanos(nanos).as_secs_f64(), ..Summary::default() };
        for (cumulative, (bound, count)) in summary.cumulative.iter_mut().zip(S::NANOS.into_iter().zip(counts)) {
            summary.count += count;
            *cumulative = (seconds(bound), summary.count);
        }
        summary.count += counts[BUCKETS];
        summary
    }
}

/// The duration that this share of the observations did not exceed; `None` without any. Within a bucket they are taken
/// to be spread evenly, as Prometheus' `histogram_quantile` does; beyond the last bound that bound is given.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "no count is that large")]
pub fn quantile<S: Scale>(counts: &Counts, share: f64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    let rank = total as f64 * share;
    let (mut below, mut lower) = (0_u64, 0_u64);
    for (&count, &upper) in counts.iter().zip(&S::NANOS) {
        if count > 0 && (below + count) as f64 >= rank {
            let within = ((rank - below as f64) / count as f64).max(0.0);
            return Some(Duration::from_nanos(lower) + Duration::from_nanos(upper - lower).mul_f64(within));
        }
        (below, lower) = (below + count, upper);
    }
    (total > 0).then_some(Duration::from_nanos(lower))
}

/// The number next to the exact one, as which it is written.
#[expect(clippy::cast_precision_loss, reason = "no bound is that large")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_buckets_are_cumulative_seconds() {
        let (one, two) = (Histogram::<OfRequests>::default(), Histogram::default());
        one.observe(Duration::from_micros(500));
        two.observe(Duration::from_millis(3));
        two.observe(Duration::from_mins(1));
        let summary = Histogram::summarise([&one, &two].into_iter());
        assert_eq!((summary.cumulative[0], summary.cumulative[3], summary.count), ((0.0005, 1), (0.005, 2), 3));
        assert!((summary.sum - 60.0035).abs() < 1e-9);
    }

    #[test]
    fn t2_quantiles_are_taken_within_buckets() {
        let of = |durations: &[u64], share| {
            let histogram = Histogram::<OfRequests>::default();
            durations.iter().for_each(|ms| histogram.observe(Duration::from_millis(*ms)));
            let mut counts = Counts::default();
            histogram.add_to(&mut counts);
            quantile::<OfRequests>(&counts, share).map(|duration| duration.as_micros())
        };
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[20, 20], 0.5), Some(17_500), "half of the way from 10 to 25 ms");
        assert_eq!((of(&[1, 20], 0.5), of(&[1, 20], 0.99)), (Some(1_000), Some(24_700)));
        assert_eq!(of(&[1, 60_000], 0.99), Some(10_000_000), "beyond the last bound");
    }

    #[test]
    fn t3_bounds_ascend_and_are_written_as_people_would() {
        assert!(OfRequests::NANOS.is_sorted_by(|a, b| a < b) && OfCalls::NANOS.is_sorted_by(|a, b| a < b));
        let of_requests = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        assert_eq!(OfRequests::NANOS.map(seconds), of_requests);
        let of_calls = OfCalls::NANOS.map(|nanos| seconds(nanos).to_string());
        assert_eq!((of_calls[0].as_str(), of_calls[BUCKETS - 1].as_str()), ("0.0000005", "0.1"));
        assert_eq!(of_calls[2], "0.0000025");
    }
}
