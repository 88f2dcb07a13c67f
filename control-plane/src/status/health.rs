//! How endpoints are, for people: one endpoint, a Backend with all of its own, a Pool with its Backends.

use jiff::Timestamp;
use weir_proto::model::EndpointAddress;
use weir_proto::pb;

/// Most endpoints that the status of one Backend lists, so that an object stays small.
const SHOWN: usize = 100;

/// What a proxy may say of an endpoint that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    /// It takes requests.
    Up,
    /// It is out for a time, after failures.
    Ejected,
    /// Probes fail, or have not passed yet.
    Down,
    /// It is taken out by hand, and done with its requests.
    Disabled,
    /// It gets no new requests and finishes those it has: deleted, disabled, of weight 0, or about to leave its Service.
    Draining,
}

impl EndpointState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Up, Self::Ejected, Self::Down, Self::Disabled, Self::Draining];
    /// Every state but up, those that tell of trouble first.
    pub const DOWN: [Self; 4] = [Self::Down, Self::Ejected, Self::Disabled, Self::Draining];

    /// `None` = the proxy does not have it (any more).
    #[must_use]
    pub fn of_wire(state: pb::EndpointState) -> Option<Self> {
        Some(match state {
            pb::EndpointState::Up => Self::Up,
            pb::EndpointState::Ejected => Self::Ejected,
            pb::EndpointState::Down => Self::Down,
            pb::EndpointState::Disabled => Self::Disabled,
            pb::EndpointState::Draining => Self::Draining,
            pb::EndpointState::Gone | pb::EndpointState::Unspecified => return None,
        })
    }

    /// As on the wire.
    #[cfg(test)]
    pub(crate) fn to_wire(self) -> pb::EndpointState {
        match self {
            Self::Up => pb::EndpointState::Up,
            Self::Ejected => pb::EndpointState::Ejected,
            Self::Down => pb::EndpointState::Down,
            Self::Disabled => pb::EndpointState::Disabled,
            Self::Draining => pb::EndpointState::Draining,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Ejected => "Ejected",
            Self::Down => "Down",
            Self::Disabled => "Disabled",
            Self::Draining => "Draining",
        }
    }
}

/// What all proxies together say of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Where it listens.
    pub address: EndpointAddress,
    /// Up if it is up on every proxy that has it, else what most of the others say.
    pub state: EndpointState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Failures that count at present, on all proxies together.
    pub fails: u32,
    /// The newest reason.
    pub last_failure: Option<String>,
    /// Of one that drains: requests that still run, on all proxies together.
    pub left: u32,
    /// Proxies on which it is up.
    pub proxies_up: u32,
    /// Proxies that have it.
    pub proxies_total: u32,
}

/// What all proxies together say of the endpoints of a Backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendHealth {
    /// How many there are.
    pub total: u32,
    /// How many of them are up on every proxy.
    pub up: u32,
    /// In one word; `None` = there are none.
    pub state: Option<&'static str>,
    /// By address; of more than a hundred, those that are not up first.
    pub endpoints: Vec<EndpointHealth>,
}

impl BackendHealth {
    /// Of all endpoints, by address.
    #[must_use]
    pub fn new(mut endpoints: Vec<EndpointHealth>) -> Self {
        let count = |state| endpoints.iter().filter(|endpoint| endpoint.state == state).count();
        let (total, up) = (endpoints.len(), count(EndpointState::Up));
        let state = summary(total, up, count);
        if total > SHOWN {
            endpoints.sort_by_key(|endpoint| endpoint.state == EndpointState::Up);
            endpoints.truncate(SHOWN);
            endpoints.sort_by(|a, b| a.address.cmp(&b.address));
        }
        let number = |count: usize| count.try_into().unwrap_or(u32::MAX);
        Self { total: number(total), up: number(up), state, endpoints }
    }
}

/// Up, Degraded if some are up and some are not, else the state that most of them have.
fn summary(total: usize, up: usize, count: impl Fn(EndpointState) -> usize) -> Option<&'static str> {
    match up {
        _ if total == 0 => None,
        0 => EndpointState::DOWN.into_iter().rev().max_by_key(|state| count(*state)).map(EndpointState::as_str),
        _ if up == total => Some(EndpointState::Up.as_str()),
        _ => Some("Degraded"),
    }
}

/// How the Backends of a Pool are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolHealth {
    /// Backends in force.
    pub total: u32,
    /// Those that have an endpoint that is up.
    pub up: u32,
}

#[cfg(test)]
mod tests {
    use super::EndpointState::{Disabled, Ejected, Up};
    use super::*;

    fn endpoints(states: &[(EndpointState, usize)]) -> BackendHealth {
        let all = states.iter().flat_map(|(state, count)| std::iter::repeat_n(*state, *count));
        let endpoint = |(port, state)| EndpointHealth {
            address: std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
            state,
            since: None,
            fails: 0,
            last_failure: None,
            left: 0,
            proxies_up: 0,
            proxies_total: 1,
        };
        BackendHealth::new((1..).zip(all).map(endpoint).collect())
    }

    #[test]
    fn one_word_says_how_a_backend_is() {
        let word = |states: &[(EndpointState, usize)]| endpoints(states).state;
        assert_eq!(word(&[]), None);
        assert_eq!(word(&[(Up, 2)]), Some("Up"));
        assert_eq!(word(&[(Up, 29), (Ejected, 1)]), Some("Degraded"));
        assert_eq!(word(&[(Ejected, 1), (Disabled, 2)]), Some("Disabled"));
        assert_eq!(word(&[(Disabled, 2), (Ejected, 2)]), Some("Ejected"));
    }

    #[test]
    fn of_many_endpoints_those_in_trouble_are_listed_and_all_are_counted() {
        let health = endpoints(&[(Up, 150), (Ejected, 2), (Up, 50)]);
        assert_eq!((health.total, health.up, health.endpoints.len()), (202, 200, SHOWN));
        assert_eq!(health.endpoints.iter().filter(|e| e.state == Ejected).count(), 2);
        assert!(health.endpoints.is_sorted_by_key(|e| e.address.clone()));
    }
}
