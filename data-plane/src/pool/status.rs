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
    /// Taken out by hand.
    Disabled,
    /// About to leave its pool, as its Service says: no new requests while any other is up.
    Terminating,
    /// Left its pool; finishes what runs.
    Draining,
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
}

impl EndpointState {
    /// The word; for people both ways of leaving are one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Ejected => "Ejected",
            Self::Down => "Down",
            Self::Disabled => "Disabled",
            Self::Terminating | Self::Draining => "Draining",
        }
    }
}

impl Status {
    /// Why the endpoint is not up, in a word; empty if it is up, or has left its pool.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.state {
            EndpointState::Up | EndpointState::Draining => "",
            EndpointState::Terminating => "terminating",
            EndpointState::Disabled => Reason::Disabled.as_str(),
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
        let health = self.endpoint.health.lock();
        let state = if self.endpoint.is_retired() {
            EndpointState::Draining
        } else if !self.origin.backend.enabled {
            EndpointState::Disabled
        } else if self.origin.is_terminating() {
            EndpointState::Terminating
        } else {
            match health.verdict() {
                Verdict::Up => EndpointState::Up,
                Verdict::Ejected => EndpointState::Ejected,
                Verdict::Down => EndpointState::Down,
            }
        };
        let last_failure = health.last_failure().map(|failure| (wall_clock(failure.at), failure.reason));
        Status { state, since: self.endpoint.since(), fails: health.fails(), last_failure }
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
    use crate::pool::{Endpoint, Target};

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

    #[test]
    fn h6_disabled_hides_ejected_and_draining_hides_both() {
        let mut member = member();
        eject(&member);
        Arc::make_mut(&mut member.origin.backend).enabled = false;
        assert_eq!((member.status().state, member.status().reason()), (EndpointState::Disabled, "disabled"));
        member.endpoint.set_retired(true);
        assert_eq!(member.status().state, EndpointState::Draining);
    }

    #[test]
    fn s6_a_terminating_endpoint_is_draining_for_people_whether_it_fails_or_not() {
        let mut member = member();
        member.origin = of_service(targets(&[1]).remove(0), true, "a").origin;
        for _ in 0..2 {
            let status = member.status();
            assert_eq!((status.state, status.state.as_str()), (EndpointState::Terminating, "Draining"));
            assert_eq!(status.reason(), "terminating");
            eject(&member);
        }
    }
}
