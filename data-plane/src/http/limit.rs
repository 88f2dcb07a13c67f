//! Limits in time of which zero is none.

use std::time::Duration;

/// A limit that has just run out is not zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// The shorter of two limits.
#[must_use]
pub fn shorter(a: Duration, b: Duration) -> Duration {
    match (a.is_zero(), b.is_zero()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.min(b),
    }
}

/// What is left of a limit.
#[must_use]
pub fn left(limit: Duration, passed: Duration) -> Duration {
    if limit.is_zero() { limit } else { limit.saturating_sub(passed).max(SHORTEST) }
}
