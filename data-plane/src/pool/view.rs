//! The endpoints of a pool that may be chosen now, with everything a choice needs prepared.

use std::sync::Arc;

use weir_proto::model;

use super::{Endpoint, Member, Origin};
use crate::balance::Picker;

/// An endpoint that may be chosen.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where requests go.
    pub endpoint: Arc<Endpoint>,
    /// Its share, at least 1.
    pub weight: u32,
    /// What users and the Service say of it.
    pub origin: Origin,
}

/// Immutable; made anew when membership, settings or health change, never per request.
#[derive(Debug)]
pub struct View {
    /// In the order of backend name and address.
    pub candidates: Box<[Candidate]>,
    /// The pool's method, prepared for these candidates.
    pub picker: Picker,
    /// Too few are up: these are all of them, whatever their health.
    pub panic: bool,
    /// How many of the candidates are up.
    pub up: usize,
}

impl View {
    /// The view of a pool without endpoints.
    #[must_use]
    pub fn empty() -> Self {
        Self { candidates: Box::default(), picker: Picker::FirstAlive, panic: false, up: 0 }
    }

    /// Those of `members` that take requests, are up and do not terminate; those that terminate if no other is
    /// up. If fewer than `panicThreshold` percent of these are up, all of them, whatever their health.
    #[must_use]
    pub fn build(config: &model::Pool, members: &[Member]) -> Self {
        let eligible = members.iter().filter(|member| member.origin.takes_requests());
        let eligible: Vec<(&Member, bool)> = eligible.map(|member| (member, member.is_up())).collect();
        let all_leave = !eligible.iter().any(|(member, up)| *up && !member.origin.is_terminating());
        let is_asked = |member: &Member| all_leave || !member.origin.is_terminating();
        let asked = eligible.iter().filter(|(member, _)| is_asked(member)).count();
        let up = eligible.iter().filter(|(member, up)| *up && is_asked(member)).count();
        let panic = up < asked && up * 100 < asked * usize::from(config.health.panic_threshold);
        let mut places = Vec::with_capacity(eligible.len());
        let mut candidates = Vec::with_capacity(asked);
        for (member, up) in eligible {
            let chosen = is_asked(member) && (panic || up);
            places.push(chosen.then_some(candidates.len()));
            if chosen {
                let Member { origin, endpoint } = member;
                let weight = origin.backend.weight;
                candidates.push(Candidate { endpoint: endpoint.clone(), weight, origin: origin.clone() });
            }
        }
        Self { picker: Picker::new(&config.balance, &candidates, &places), candidates: candidates.into(), panic, up }
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::PassiveHealth;

    use super::super::member::tests::of_service;
    use super::*;
    use crate::pool::Target;
    use crate::pool::runtime::tests::targets;
    use crate::reason::Reason;

    /// One letter an endpoint: `u`p, `d`own, `t`erminating, terminating and do`w`n, switched `o`ff.
    fn members(states: &str) -> Vec<Member> {
        let member = |(state, target): (char, Target)| {
            let Target { mut origin, address } = of_service(target, "tw".contains(state), "a");
            Arc::make_mut(&mut origin.backend).enabled = state != 'o';
            let endpoint = Arc::new(Endpoint::new(origin.backend.name.clone(), address, 1));
            if "dw".contains(state) {
                let settings = PassiveHealth { max_fails: 1, ..PassiveHealth::default() };
                endpoint.outlier.lock().fail(tokio::time::Instant::now(), Reason::Reset, &settings);
            }
            Member { origin, endpoint }
        };
        states.chars().zip(targets(&vec![1; states.len()])).map(member).collect()
    }

    /// Places of the candidates among the members.
    fn chosen(states: &str, panic_threshold: u8) -> Vec<usize> {
        let members = members(states);
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.health.panic_threshold = panic_threshold;
        let view = View::build(&config, &members);
        let place = |candidate: &Candidate| members.iter().position(|m| m.endpoint.id == candidate.endpoint.id);
        view.candidates.iter().filter_map(place).collect()
    }

    #[test]
    fn c1_terminating_endpoints_are_candidates_only_while_no_other_is_up() {
        assert_eq!(chosen("utu", 0), [0, 2]);
        assert_eq!(chosen("dtu", 0), [2]);
        assert_eq!(chosen("dtd", 0), [1]);
        assert_eq!(chosen("otw", 0), [1], "one that takes no requests is no other");
        assert_eq!(chosen("tt", 0), [0, 1]);
        assert_eq!(chosen("w", 0), [0; 0]);
    }

    #[test]
    fn h8_terminating_endpoints_count_for_panic_only_if_they_are_asked() {
        assert_eq!(chosen("udtt", 50), [0], "half of two are up");
        assert_eq!(chosen("uddt", 50), [0, 1, 2], "a third of three");
        assert_eq!(chosen("ddtw", 50), [0, 1, 2, 3], "a quarter of four");
        assert_eq!(chosen("dttw", 50), [1, 2]);
    }
}
