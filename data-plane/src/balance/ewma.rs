//! Peak EWMA: a moving average of latency that rises at once and falls slowly, times load
//! (as in Finagle's `PeakEwma` and linkerd2-proxy).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::Candidate;

/// Time in which an old peak loses 63% of its weight.
const DECAY_SECONDS: f64 = 10.0;
/// Latency taken for an endpoint that has not answered yet: it gets traffic soon, but no flood.
const UNKNOWN_SECONDS: f64 = 0.03;

/// Latency of one endpoint as all workers see it. Two racing updates may lose one of them, which a
/// moving average forgives.
#[derive(Debug, Default)]
pub struct PeakEwma {
    /// Bits of an `f64` of seconds; 0 = nothing seen.
    seconds: AtomicU64,
    /// Nanoseconds since [`epoch`].
    updated: AtomicU64,
}

impl PeakEwma {
    /// Notes one latency.
    pub fn observe(&self, now: Instant, latency: Duration) {
        let sample = latency.as_secs_f64();
        let at = nanos(now);
        let age = Duration::from_nanos(at.saturating_sub(self.updated.swap(at, Relaxed))).as_secs_f64();
        let old = f64::from_bits(self.seconds.load(Relaxed));
        let keep = (-age / DECAY_SECONDS).exp();
        let new = if sample > old { sample } else { old * keep + sample * (1.0 - keep) };
        self.seconds.store(new.to_bits(), Relaxed);
    }

    /// The average in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match self.seconds.load(Relaxed) {
            0 => UNKNOWN_SECONDS,
            bits => f64::from_bits(bits),
        }
    }
}

/// Expected wait behind the requests in flight, per unit of weight.
#[must_use]
pub fn cost(candidate: &Candidate) -> f64 {
    let waiting = f64::from(candidate.endpoint.in_flight.current()) + 1.0;
    candidate.endpoint.latency.seconds() * waiting / f64::from(candidate.weight)
}

fn nanos(now: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let since = now.saturating_duration_since(*EPOCH.get_or_init(|| now));
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};
    use super::*;

    #[test]
    fn c3_peak_ewma_rises_at_once_and_falls_slowly() {
        let (average, t) = (PeakEwma::default(), Instant::now());
        average.observe(t, Duration::from_millis(10));
        average.observe(t + Duration::from_secs(1), Duration::from_millis(500));
        assert!((average.seconds() - 0.5).abs() < 1e-9);
        average.observe(t + Duration::from_secs(2), Duration::from_millis(10));
        assert!((0.4..0.5).contains(&average.seconds()));
        average.observe(t + Duration::from_mins(2), Duration::from_millis(10));
        assert!(average.seconds() < 0.011);
    }

    #[test]
    fn c3_peak_ewma_avoids_the_slow_endpoint() {
        let candidates = candidates(&[1, 1]);
        let now = Instant::now();
        candidates[0].endpoint.latency.observe(now, Duration::from_millis(100));
        candidates[1].endpoint.latency.observe(now, Duration::from_millis(5));
        let method = picker(&Balance::PeakEwma, &candidates);
        assert_eq!(Chooser::new().counts(&method, &candidates, 100), [0, 100]);
        // Until the fast one has so much to do that the slow one is quicker.
        (0..30).for_each(|_| candidates[1].endpoint.in_flight.enter());
        assert_eq!(Chooser::new().counts(&method, &candidates, 100), [100, 0]);
    }
}
