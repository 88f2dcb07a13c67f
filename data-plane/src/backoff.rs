//! Exponential back-off with full jitter: clients that failed together do not come back together.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

/// Waits that grow from try to try.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
    rng: SmallRng,
}

impl Backoff {
    /// The first wait is at most `first`; each next one at most twice as long, and never above `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, rng: SmallRng) -> Self {
        Self { first, longest, tries: 0, rng }
    }

    /// The next wait: any time from nothing to the limit of this try.
    pub fn next_wait(&mut self) -> Duration {
        let limit = self.first.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        self.rng.random_range(Duration::ZERO..=limit)
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    fn longest_seen(tries_before: u32) -> Duration {
        let wait = |seed| {
            let mut backoff = Backoff::new(FIRST, LONGEST, SmallRng::seed_from_u64(seed));
            (0..tries_before).for_each(|_| _ = backoff.next_wait());
            backoff.next_wait()
        };
        (0..500).map(wait).max().unwrap()
    }

    #[test]
    fn limits_double_up_to_the_longest() {
        for (tries, limit) in [(0, FIRST), (1, FIRST * 2), (3, FIRST * 8), (6, LONGEST), (60, LONGEST)] {
            let seen = longest_seen(tries);
            assert!(seen <= limit && seen > limit / 2, "{tries}: {seen:?}");
        }
    }

    #[test]
    fn waits_differ_and_a_success_begins_anew() {
        let mut backoff = Backoff::new(FIRST, LONGEST, SmallRng::seed_from_u64(1));
        let waits: Vec<_> = (0..10).map(|_| backoff.next_wait()).collect();
        assert!(waits.windows(2).any(|pair| pair[0] > pair[1]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
