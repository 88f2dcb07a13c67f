//! Retry budget: retries as a share of a pool's requests, so that trouble does not multiply the load.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time over which the share is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// Retries per second that are always allowed.
const FLOOR_PER_SECOND: u64 = 10;

/// Retries of one pool, over all workers. Requests are not counted here, which would cost each of them:
/// the budget reads the pool's own count when a retry asks.
#[derive(Debug)]
pub struct RetryBudget {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    requests_then: u64,
    retries: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        let window = Window { began: Instant::now(), requests_then: 0, retries: 0 };
        Self { window: Mutex::new(window) }
    }
}

impl RetryBudget {
    /// Takes one retry out of the budget; false if there is none left. `requests` is the pool's count of
    /// requests so far, `percent` the share of them that may be retried.
    pub fn take(&self, now: Instant, requests: u64, percent: u32) -> bool {
        let mut window = self.window.lock();
        if now.saturating_duration_since(window.began) >= WINDOW {
            *window = Window { began: now, requests_then: requests, retries: 0 };
        }
        let share = requests.saturating_sub(window.requests_then) * u64::from(percent) / 100;
        // The floor grows with the time passed, so that no burst spends ten seconds' worth at once.
        let seconds = now.saturating_duration_since(window.began).as_secs() + 1;
        let granted = window.retries < share.max(FLOOR_PER_SECOND * seconds);
        window.retries += u64::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_ten_retries_a_second_are_always_allowed() {
        let (budget, t) = (RetryBudget::default(), Instant::now());
        let granted = |at: Instant| (0..100).filter(|_| budget.take(at, 0, 20)).count();
        assert_eq!(granted(t), 10);
        assert_eq!(granted(t + Duration::from_millis(1_500)), 10);
        assert_eq!(granted(t + WINDOW * 2), 10);
    }

    #[test]
    fn f2_the_budget_is_a_share_of_the_requests() {
        let (budget, t) = (RetryBudget::default(), Instant::now());
        assert_eq!((0..1_000).filter(|_| budget.take(t, 1_000, 20)).count(), 200);
    }
}
