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

    /// Adds up the shards of all workers.
    pub fn summarise<'a>(shards: impl Iterator<Item = &'a Self>) -> Summary
    where
        S: 'a,
    {
        let mut counts = [0_u64; BUCKETS + 1];
        let mut nanos = 0_u64;
        for shard in shards {
            counts.iter_mut().zip(&shard.buckets).for_each(|(count, bucket)| *count += bucket.get());
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
    fn t3_bounds_ascend_and_are_written_as_people_would() {
        assert!(OfRequests::NANOS.is_sorted_by(|a, b| a < b) && OfCalls::NANOS.is_sorted_by(|a, b| a < b));
        let of_requests = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        assert_eq!(OfRequests::NANOS.map(seconds), of_requests);
        let of_calls = OfCalls::NANOS.map(|nanos| seconds(nanos).to_string());
        assert_eq!((of_calls[0].as_str(), of_calls[BUCKETS - 1].as_str()), ("0.0000005", "0.1"));
        assert_eq!(of_calls[2], "0.0000025");
    }
}
