//! How long a watch waits after a failure.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use rand::RngExt;
use tokio::time::Instant;

/// After the first failure; doubles with each further one.
const FIRST: Duration = Duration::from_millis(200);

/// The most. Changes are live so soon after the API server is back.
const MOST: Duration = Duration::from_secs(5);

/// Without a failure for so long, it begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Doubling waits, each up to half as long again by chance.
pub(super) struct Doubling {
    next: Duration,
    failed_at: Option<Instant>,
}

impl Doubling {
    pub(super) fn new() -> Self {
        Self { next: FIRST, failed_at: None }
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.failed_at.replace(now).is_some_and(|before| now - before > FORGET_AFTER) {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = MOST.min(wait * 2);
        Some(wait.mul_f64(rand::rng().random_range(1.0..1.5)))
    }
}

impl Backoff for Doubling {
    /// Called at each success, which says little: a watch that may not list begins well each time.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ_by_chance() {
        let waits: Vec<Duration> = Doubling::new().take(12).collect();
        let bases = (0..12).map(|i| MOST.min(FIRST * 2_u32.pow(i)));
        assert!(waits.iter().zip(bases).all(|(wait, base)| (base..base.mul_f64(1.5)).contains(wait)), "{waits:?}");
        assert_ne!(waits[10], waits[11]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_does_not_make_it_forget_but_time_does() {
        let mut backoff = Doubling::new();
        for _ in 0..8 {
            backoff.next();
            backoff.reset();
        }
        assert!(backoff.next().unwrap() >= MOST);
        tokio::time::advance(FORGET_AFTER * 2).await;
        assert!(backoff.next().unwrap() < FIRST * 2);
    }
}
