//! When keys are fetched: never twice at a time, and nobody's tokens make it more often than now and then.
//!
//! LIFECYCLE: rests -> runs (`begin`) -> rests (`end`).

use std::time::Duration;

use tokio::time::Instant;

/// Between a fetch that failed and the next.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Between two fetches because of keys that are not known: anyone can make names of keys up.
const AFTER_UNKNOWN: Duration = Duration::from_secs(10);

/// Why keys may be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// They are in use: none should be older than this.
    Use(Duration),
    /// A token names one that is not there.
    UnknownKey,
}

/// When keys are fetched.
#[derive(Debug, Default)]
pub(super) struct Pace {
    runs: bool,
    /// The last fetch: when it ended, and whether it was good.
    last: Option<(Instant, bool)>,
    last_for_unknown: Option<Instant>,
}

impl Pace {
    /// Whether a fetch runs.
    pub(super) fn runs(&self) -> bool {
        self.runs
    }

    /// Whether a fetch is to begin now; from then on it runs.
    pub(super) fn begin(&mut self, need: Need, now: Instant) -> bool {
        let has_passed = |since: Instant, pause: Duration| now.saturating_duration_since(since) >= pause;
        let begins = match (self.runs, self.last, need) {
            (true, ..) => false,
            (_, None, _) => true,
            (_, Some((at, false)), _) => has_passed(at, AFTER_FAILURE),
            (_, Some((at, true)), Need::Use(refresh)) => has_passed(at, refresh),
            (_, Some((_, true)), Need::UnknownKey) => {
                let may = self.last_for_unknown.is_none_or(|at| has_passed(at, AFTER_UNKNOWN));
                self.last_for_unknown = if may { Some(now) } else { self.last_for_unknown };
                may
            }
        };
        self.runs |= begins;
        begins
    }

    /// A fetch has ended.
    pub(super) fn end(&mut self, good: bool, now: Instant) {
        self.runs = false;
        self.last = Some((now, good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(600);
    const USE: Need = Need::Use(REFRESH);

    /// One that has fetched at `now`.
    fn fetched(now: Instant, good: bool) -> Pace {
        let mut pace = Pace::default();
        assert!(pace.begin(USE, now));
        pace.end(good, now);
        pace
    }

    #[test]
    fn p1_one_fetch_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert!(!pace.runs() && pace.begin(USE, now) && pace.runs());
        assert!(!pace.begin(USE, now) && !pace.begin(Need::UnknownKey, now + 2 * REFRESH));
    }

    #[test]
    fn p1_keys_are_fetched_again_when_they_are_old() {
        let now = Instant::now();
        let mut pace = fetched(now, true);
        assert!(!pace.begin(USE, now + REFRESH - Duration::from_millis(1)));
        assert!(pace.begin(USE, now + REFRESH));
    }

    #[test]
    fn p1_unknown_keys_cause_one_fetch_then_only_now_and_then() {
        let now = Instant::now();
        let mut pace = fetched(now, true);
        assert!(pace.begin(Need::UnknownKey, now), "however new the others are");
        pace.end(true, now);
        assert!(!pace.begin(Need::UnknownKey, now + AFTER_UNKNOWN - Duration::from_millis(1)));
        assert!(pace.begin(Need::UnknownKey, now + AFTER_UNKNOWN));
    }

    #[test]
    fn p1_after_a_failure_there_is_a_pause() {
        let now = Instant::now();
        let mut pace = fetched(now, false);
        assert!(!pace.begin(USE, now));
        assert!(pace.begin(USE, now + AFTER_FAILURE));
    }
}
