//! Latency histograms.

use std::time::Duration;

use super::Counter;

/// Upper bounds of the buckets, in seconds.
pub const BOUNDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The same bounds in nanoseconds, for the request path.
const BOUNDS_NANOS: [u64; BOUNDS.len()] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Durations of one worker, by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    sum_nanos: Counter,
}

/// Durations of all workers, ready for Prometheus.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// Observations at or below each of [`BOUNDS`].
    pub cumulative: [u64; BOUNDS.len()],
    /// All observations.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Notes one duration; only the owning worker may call this.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        self.buckets[bucket].increment();
        self.sum_nanos.add(nanos);
    }

    /// Adds up the shards of all workers.
    pub fn summarise<'a>(shards: impl Iterator<Item = &'a Self>) -> Summary {
        let mut counts = [0_u64; BOUNDS.len() + 1];
        let mut nanos = 0_u64;
        for shard in shards {
            counts.iter_mut().zip(&shard.buckets).for_each(|(count, bucket)| *count += bucket.get());
            nanos = nanos.wrapping_add(shard.sum_nanos.get());
        }
        let mut summary = Summary { sum: Duration::from_nanos(nanos).as_secs_f64(), ..Summary::default() };
        for (cumulative, count) in summary.cumulative.iter_mut().zip(counts) {
            summary.count += count;
            *cumulative = summary.count;
        }
        summary.count += counts[BOUNDS.len()];
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_buckets_are_cumulative_seconds() {
        let (one, two) = (Histogram::default(), Histogram::default());
        one.observe(Duration::from_micros(500));
        two.observe(Duration::from_millis(3));
        two.observe(Duration::from_mins(1));
        let summary = Histogram::summarise([&one, &two].into_iter());
        assert_eq!((summary.cumulative[0], summary.cumulative[3], summary.count), (1, 2, 3));
        assert!((summary.sum - 60.0035).abs() < 1e-9);
    }

    #[test]
    fn both_tables_of_bounds_agree() {
        for (seconds, nanos) in BOUNDS.iter().zip(BOUNDS_NANOS) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_nanos(nanos));
        }
    }
}
