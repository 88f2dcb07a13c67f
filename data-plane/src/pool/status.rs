//! What an endpoint is doing now, as people and the control plane are told.

use jiff::Timestamp;
use tokio::time::Instant;

use super::Member;
use crate::health::Verdict;
use crate::reason::Reason;

/// State of an endpoint, the same word in JSON and in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Takes requests.
    Up,
    /// Out after failures of live requests.
    Ejected,
    /// Probes fail, or have not passed yet.
    Down,
    /// Taken out by hand, and done with what ran.
    Disabled,
    /// Finishes what runs.
    Draining(Leaving),
}

/// Why an endpoint gets no new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It left its pool.
    Gone,
    /// It is about to, as its Service says: new requests only while no other is up.
    Terminating,
    /// Taken out by hand.
    Disabled,
    /// Its weight is 0. It stays like this with nothing left, ready to go or to have a weight again.
    Weight,
}

/// One reading of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: EndpointState,
    /// Since when.
    pub since: Timestamp,
    /// Failures that add up so far.
    pub fails: u32,
    /// When it last failed, and how.
    pub last_failure: Option<(Timestamp, Reason)>,
    /// Requests in flight.
    pub left: u32,
}

impl EndpointState {
    /// Whether it left its pool.
    #[must_use]
    pub fn is_gone(self) -> bool {
        self == Self::Draining(Leaving::Gone)
    }

    /// Whether it gets no new requests, and may have some left that run.
    #[must_use]
    pub fn finishes(self) -> bool {
        matches!(self, Self::Draining(_) | Self::Disabled)
    }

    /// Whether health has nothing against it, and no person has taken it out: it takes requests as soon as it has weight.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Draining(Leaving::Weight))
    }

    /// The word; for people all ways of leaving are one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Ejected => "Ejected",
            Self::Down => "Down",
            Self::Disabled => "Disabled",
            Self::Draining(_) => "Draining",
        }
    }
}

impl Status {
    /// Why the endpoint is not up, in a word; empty if it is up, or has left its pool.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.state {
            EndpointState::Up | EndpointState::Draining(Leaving::Gone) => "",
            EndpointState::Draining(Leaving::Terminating) => "terminating",
            EndpointState::Draining(Leaving::Weight) => "weight",
            EndpointState::Disabled | EndpointState::Draining(Leaving::Disabled) => Reason::Disabled.as_str(),
            EndpointState::Ejected | EndpointState::Down => {
                self.last_failure.map(|(_, reason)| reason.as_str()).unwrap_or_default()
            }
        }
    }
}

impl Member {
    /// Reads the endpoint's state. That an endpoint about to leave fails too is no news.
    #[must_use]
    pub fn status(&self) -> Status {
        let (health, left) = (self.endpoint.health.lock(), self.endpoint.in_flight.current());
        let state = match self.leaving() {
            Some(Leaving::Disabled) if left == 0 => EndpointState::Disabled,
            Some(why) => EndpointState::Draining(why),
            None => match health.verdict() {
                // One of no weight may still be asked for by name: that it is down is news.
                Verdict::Up if self.origin.backend.weight == 0 => EndpointState::Draining(Leaving::Weight),
                Verdict::Up => EndpointState::Up,
                Verdict::Ejected => EndpointState::Ejected,
                Verdict::Down => EndpointState::Down,
            },
        };
        let last_failure = health.last_failure().map(|failure| (wall_clock(failure.at), failure.reason));
        Status { state, since: self.endpoint.since(), fails: health.fails(), last_failure, left }
    }

    /// Why it gets no new requests, whatever its health.
    fn leaving(&self) -> Option<Leaving> {
        if self.endpoint.is_retired() {
            Some(Leaving::Gone)
        } else if !self.origin.backend.enabled {
            Some(Leaving::Disabled)
        } else {
            self.origin.is_terminating().then_some(Leaving::Terminating)
        }
    }
}

/// The state machines run on the monotonic clock; people read the other.
fn wall_clock(at: Instant) -> Timestamp {
    Timestamp::now().saturating_sub(at.elapsed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_proto::model::{Health, PassiveHealth};

    use super::*;
    use crate::pool::member::tests::of_service;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{Endpoint, InFlight, Target};

    fn member() -> Member {
        let Target { origin, address } = targets(&[1]).remove(0);
        Member { endpoint: Arc::new(Endpoint::new(origin.backend.name.clone(), address, 1, Arc::default())), origin }
    }

    fn eject(member: &Member) {
        let passive = PassiveHealth { max_fails: 1, ..PassiveHealth::default() };
        let settings = Health { passive, ..Health::default() };
        member.endpoint.health.lock().fail(Instant::now(), Reason::Reset, &settings);
    }

    #[test]
    fn a_new_endpoint_is_up_without_a_failure() {
        let status = member().status();
        assert_eq!((status.state, status.fails, status.last_failure), (EndpointState::Up, 0, None));
        assert_eq!(status.reason(), "");
    }

    #[test]
    fn an_ejected_one_says_why() {
        let member = member();
        eject(&member);
        let status = member.status();
        assert_eq!((status.state, status.reason()), (EndpointState::Ejected, "reset"));
        let (at, _) = status.last_failure.unwrap();
        assert!(at.duration_until(Timestamp::now()).as_secs() < 60);
    }

    fn words(member: &Member) -> (&'static str, &'static str, u32) {
        let status = member.status();
        (status.state.as_str(), status.reason(), status.left)
    }

    #[test]
    fn h6_disabled_hides_ejected_and_draining_hides_both() {
        let mut member = member();
        eject(&member);
        Arc::make_mut(&mut member.origin.backend).enabled = false;
        assert_eq!(words(&member), ("Disabled", "disabled", 0));
        member.endpoint.set_retired(true);
        assert_eq!(words(&member), ("Draining", "", 0));
    }

    #[test]
    fn s6_h6_a_disabled_endpoint_is_draining_while_requests_run() {
        let mut member = member();
        Arc::make_mut(&mut member.origin.backend).enabled = false;
        let running = [0, 0].map(|worker| InFlight::start(member.endpoint.clone(), worker));
        assert_eq!(words(&member), ("Draining", "disabled", 2));
        drop(running);
        assert_eq!(words(&member), ("Disabled", "disabled", 0));
    }

    #[test]
    fn s6_an_endpoint_of_weight_0_is_draining_with_or_without_requests_but_not_if_it_is_out() {
        let mut member = member();
        Arc::make_mut(&mut member.origin.backend).weight = 0;
        let running = InFlight::start(member.endpoint.clone(), 0);
        assert_eq!(words(&member), ("Draining", "weight", 1));
        drop(running);
        assert_eq!(words(&member), ("Draining", "weight", 0));
        eject(&member);
        assert_eq!(words(&member), ("Ejected", "reset", 0));
    }

    #[test]
    fn s6_a_terminating_endpoint_is_draining_for_people_whether_it_fails_or_not() {
        let mut member = member();
        member.origin = of_service(targets(&[1]).remove(0), true, "a").origin;
        for _ in 0..2 {
            assert_eq!(words(&member), ("Draining", "terminating", 0));
            eject(&member);
        }
    }
}
