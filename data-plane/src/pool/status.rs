//! What an endpoint is doing now, as people and the control plane are told.

use jiff::Timestamp;
use tokio::time::Instant;

use super::members::Member;
use crate::reason::Reason;

/// State of an endpoint, the same word in JSON and in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Takes requests.
    Up,
    /// Out after failures, until its time has come.
    Ejected,
    /// Taken out by hand.
    Disabled,
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
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Ejected => "Ejected",
            Self::Disabled => "Disabled",
            Self::Draining => "Draining",
        }
    }
}

impl Status {
    /// Why the endpoint is not up; `None` if it is up or draining.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.state {
            EndpointState::Up | EndpointState::Draining => None,
            EndpointState::Disabled => Some(Reason::Disabled),
            EndpointState::Ejected => self.last_failure.map(|(_, reason)| reason),
        }
    }
}

impl Member {
    /// Reads the endpoint's state.
    #[must_use]
    pub fn status(&self) -> Status {
        let outlier = self.endpoint.outlier.lock();
        let state = if self.endpoint.is_retired() {
            EndpointState::Draining
        } else if !self.backend.enabled {
            EndpointState::Disabled
        } else if outlier.is_ejected() {
            EndpointState::Ejected
        } else {
            EndpointState::Up
        };
        let last_failure = outlier.last_failure().map(|failure| (wall_clock(failure.at), failure.reason));
        Status { state, since: self.endpoint.since(), fails: outlier.fails(), last_failure }
    }
}

/// The state machines run on the monotonic clock; people read the other.
fn wall_clock(at: Instant) -> Timestamp {
    Timestamp::now().saturating_sub(at.elapsed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_proto::model::PassiveHealth;

    use super::*;
    use crate::pool::Endpoint;
    use crate::pool::runtime::tests::targets;

    fn member() -> Member {
        let (backend, address) = targets(&[1]).remove(0);
        Member { endpoint: Arc::new(Endpoint::new(backend.name.clone(), address, 1)), backend }
    }

    fn eject(member: &Member) {
        let settings = PassiveHealth { max_fails: 1, ..PassiveHealth::default() };
        member.endpoint.outlier.lock().fail(Instant::now(), Reason::Reset, &settings);
    }

    #[test]
    fn a_new_endpoint_is_up_without_a_failure() {
        let status = member().status();
        assert_eq!((status.state, status.fails, status.last_failure), (EndpointState::Up, 0, None));
        assert_eq!(status.reason(), None);
    }

    #[test]
    fn an_ejected_one_says_why() {
        let member = member();
        eject(&member);
        let status = member.status();
        assert_eq!((status.state, status.reason()), (EndpointState::Ejected, Some(Reason::Reset)));
        let (at, _) = status.last_failure.unwrap();
        assert!(at.duration_until(Timestamp::now()).as_secs() < 60);
    }

    #[test]
    fn h6_disabled_hides_ejected_and_draining_hides_both() {
        let mut member = member();
        eject(&member);
        Arc::make_mut(&mut member.backend).enabled = false;
        assert_eq!(
            (member.status().state, member.status().reason()),
            (EndpointState::Disabled, Some(Reason::Disabled))
        );
        member.endpoint.set_retired(true);
        assert_eq!(member.status().state, EndpointState::Draining);
    }
}
