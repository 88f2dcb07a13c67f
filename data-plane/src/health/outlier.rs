//! Passive health: failures seen in traffic take an endpoint out for a time.
//!
//! LIFECYCLE
//! ```text
//!            maxFails failures, each at most failTimeout after the one before
//!   Up --------------------------------------------------------------------> Ejected
//!    ^                                                                          |
//!    | failTimeout without a failure                     failTimeout passes     |
//!    |                                                                          v
//!   Probation <-----------------------------------------------------------------+
//!    |                                                                          ^
//!    +--------------------------- one failure ----------------------------------+
//! ```
//! Probation takes traffic like Up. The machine is pure: it is told the time, and reports transitions.

use std::time::Duration;

use tokio::time::Instant;
use weir_proto::model::PassiveHealth;

use crate::reason::Reason;

/// State of one endpoint.
#[derive(Debug, Default)]
pub struct Outlier {
    fails: u32,
    last_failure: Option<Failure>,
    ejected_until: Option<Instant>,
    probation_until: Option<Instant>,
}

/// The last failure of an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// When it was seen.
    pub at: Instant,
    /// What happened.
    pub reason: Reason,
}

impl Outlier {
    /// Notes a failure; `Some(until)` if it ejects the endpoint, until then.
    pub fn fail(&mut self, now: Instant, reason: Reason, settings: &PassiveHealth) -> Option<Instant> {
        let gap = self.last_failure.map(|last| now.saturating_duration_since(last.at));
        self.last_failure = Some(Failure { at: now, reason });
        // Failures of requests that were under way when it was ejected change nothing.
        if settings.max_fails == 0 || self.is_ejected() {
            return None;
        }
        if gap.is_some_and(|gap| gap > settings.fail_timeout) {
            self.fails = 0;
        }
        self.fails = self.fails.saturating_add(1);
        let on_probation =
            self.probation_until.take_if(|until| now >= *until).is_none() && self.probation_until.is_some();
        (on_probation || self.fails >= settings.max_fails).then(|| self.eject(now, settings.fail_timeout))
    }

    fn eject(&mut self, now: Instant, wait: Duration) -> Instant {
        let until = now + wait;
        self.ejected_until = Some(until);
        self.probation_until = None;
        until
    }

    /// Brings the endpoint back if its time has come; true if it did.
    pub fn recover(&mut self, now: Instant, settings: &PassiveHealth) -> bool {
        if self.ejected_until.is_none_or(|until| now < until) {
            return false;
        }
        self.give_back(now, settings);
        true
    }

    /// Brings the endpoint back whatever the time, if it is out.
    pub fn give_back(&mut self, now: Instant, settings: &PassiveHealth) {
        if self.ejected_until.take().is_some() {
            self.fails = 0;
            self.probation_until = Some(now + settings.fail_timeout);
        }
    }

    /// Forgets everything, as when a person enables the endpoint or turns passive health off; true if
    /// the endpoint was ejected.
    pub fn reset(&mut self) -> bool {
        std::mem::take(self).ejected_until.is_some()
    }

    /// Whether the endpoint is out.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// Failures that add up so far.
    #[must_use]
    pub fn fails(&self) -> u32 {
        self.fails
    }

    /// The last failure, if there was one.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.last_failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn settings(max_fails: u32) -> PassiveHealth {
        PassiveHealth { max_fails, fail_timeout: MINUTE, statuses: Vec::new(), grpc_statuses: Vec::new() }
    }

    fn fail(outlier: &mut Outlier, at: Instant, max_fails: u32) -> bool {
        outlier.fail(at, Reason::Reset, &settings(max_fails)).is_some()
    }

    #[test]
    fn h1_max_fails_in_time_eject_once() {
        let (mut outlier, t) = (Outlier::default(), Instant::now());
        assert!(!fail(&mut outlier, t, 3));
        assert!(!fail(&mut outlier, t + MINUTE, 3));
        assert!(fail(&mut outlier, t + MINUTE * 2, 3));
        assert!(!fail(&mut outlier, t + MINUTE * 2, 3), "already out");
    }

    #[test]
    fn h1_failures_further_apart_do_not_add_up() {
        let (mut outlier, mut t) = (Outlier::default(), Instant::now());
        for _ in 0..10 {
            assert!(!fail(&mut outlier, t, 2));
            t += MINUTE + Duration::from_millis(1);
        }
    }

    #[test]
    fn h1_returns_after_fail_timeout_with_counters_at_zero() {
        let (mut outlier, t) = (Outlier::default(), Instant::now());
        assert!(fail(&mut outlier, t, 1));
        assert!(!outlier.recover(t + MINUTE - Duration::from_millis(1), &settings(1)));
        assert!(outlier.recover(t + MINUTE, &settings(1)));
        assert!(!outlier.is_ejected());
        assert_eq!(outlier.fails(), 0);
        assert!(!outlier.recover(t + MINUTE, &settings(1)), "one transition, not two");
    }

    #[test]
    fn h1_after_a_return_one_failure_within_fail_timeout_ejects_at_once() {
        let (mut outlier, t) = (Outlier::default(), Instant::now());
        (0..3).for_each(|_| _ = fail(&mut outlier, t, 3));
        let back = t + MINUTE;
        assert!(outlier.recover(back, &settings(3)));
        assert!(fail(&mut outlier, back + MINUTE - Duration::from_millis(1), 3));
    }

    #[test]
    fn h1_probation_ends_after_fail_timeout() {
        let (mut outlier, t) = (Outlier::default(), Instant::now());
        (0..3).for_each(|_| _ = fail(&mut outlier, t, 3));
        let back = t + MINUTE;
        assert!(outlier.recover(back, &settings(3)));
        assert!(!fail(&mut outlier, back + MINUTE, 3));
    }

    #[test]
    fn h1_max_fails_0_turns_it_off() {
        let mut outlier = Outlier::default();
        assert!((0..100).all(|_| !fail(&mut outlier, Instant::now(), 0)));
        assert!(outlier.last_failure().is_some());
    }
}
