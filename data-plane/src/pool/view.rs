//! The endpoints of a pool that may be chosen now, with everything a choice needs prepared.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;
use weir_proto::model::{self, Role};

use super::admission::Open;
use super::{Endpoint, EndpointId, Member, Origin, Tier};
use crate::balance::Tried;

/// An endpoint that may be chosen.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where requests go.
    pub endpoint: Arc<Endpoint>,
    /// Its share; 0 only of one that is asked for by name.
    pub weight: u32,
    /// What users and the Service say of it.
    pub origin: Origin,
}

impl Candidate {
    /// The member as a candidate.
    #[must_use]
    pub fn of(member: &Member) -> Self {
        let Member { origin, endpoint } = member;
        Self { endpoint: endpoint.clone(), weight: origin.backend.weight, origin: origin.clone() }
    }

    /// As one whose slots may be waited for.
    fn open(&self, by_name: bool) -> Open<EndpointId> {
        Open { key: self.endpoint.id, slots: self.endpoint.in_flight.clone(), by_name }
    }
}

/// Immutable; made anew when membership, settings or health change, never per request.
#[derive(Debug, Default)]
pub struct View {
    /// Those to choose from, in the order in which roles are asked (C2).
    pub tiers: Box<[Tier]>,
    /// Up as well, but chosen only by who asks for them by name: of weight 0, or about to go.
    pub reserve: Box<[Candidate]>,
    /// Whether one of them all has a capacity.
    pub limited: bool,
    /// Too few are up: these are all of them, whatever their health.
    pub panic: bool,
    /// How many of the candidates are up.
    pub up: usize,
    /// Whether the candidates of role `Backup` serve because nobody else could.
    backups_serve: bool,
}

/// A member that could be a candidate.
struct Eligible<'a> {
    member: &'a Member,
    up: bool,
    /// Asked only if nobody before is up: others, backups, those about to go.
    rank: u8,
}

const BACKUP: u8 = 1;
const LEAVING: u8 = 2;

impl<'a> Eligible<'a> {
    fn new(member: &'a Member) -> Option<Self> {
        let rank = match &member.origin {
            origin if origin.is_terminating() => LEAVING,
            origin if origin.backend.role == Role::Backup => BACKUP,
            _ => 0,
        };
        member.origin.takes_requests().then(|| Self { member, up: member.is_up(), rank })
    }
}

impl View {
    /// Those of `members` that take requests and are up: of roles `Active` and `Standby`, and the backups; those that
    /// terminate if no other is up. If fewer than `panicThreshold` percent of those whose turn it is are up, all of these,
    /// whatever their health.
    #[must_use]
    pub fn build(config: &model::Pool, members: &[Member]) -> Self {
        let eligible: Vec<Eligible<'_>> = members.iter().filter_map(Eligible::new).collect();
        let deepest = eligible.iter().filter(|e| e.up).map(|e| e.rank).min().unwrap_or(LEAVING);
        let asked = eligible.iter().filter(|e| e.rank <= deepest).count();
        let up = eligible.iter().filter(|e| e.up && e.rank <= deepest).count();
        let panic = up < asked && up * 100 < asked * usize::from(config.health.panic_threshold);
        let is_chosen = |e: &Eligible<'_>| (e.up || panic && e.rank <= deepest) && e.rank <= deepest.max(BACKUP);
        let chosen: Vec<(&Member, bool)> = eligible.iter().map(|e| (e.member, is_chosen(e))).collect();
        let now = Instant::now();
        let tiers: Box<[Tier]> = Role::ALL.iter().filter_map(|role| Tier::build(config, *role, &chosen, now)).collect();
        let view = Self { tiers, panic, backups_serve: deepest >= BACKUP, ..Self::default() };
        let up = eligible.iter().filter(|e| e.up && is_chosen(e)).count();
        let view = Self { up, reserve: view.others(members), ..view };
        let limited = view.all().any(|candidate| candidate.origin.backend.capacity > 0);
        Self { limited, ..view }
    }

    /// Those of `members` that are enabled and up, and no candidates.
    fn others(&self, members: &[Member]) -> Box<[Candidate]> {
        let candidates: HashSet<EndpointId> = self.candidates().map(|candidate| candidate.endpoint.id).collect();
        let is_other = |m: &&Member| m.origin.backend.enabled && m.is_up() && !candidates.contains(&m.endpoint.id);
        members.iter().filter(is_other).map(Candidate::of).collect()
    }

    /// All that may be chosen.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.tiers.iter().flat_map(|tier| &tier.candidates)
    }

    /// All that may be chosen, and those that may be asked for by name.
    pub fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates().chain(&self.reserve)
    }

    /// The candidate of this endpoint.
    #[must_use]
    pub fn find(&self, id: EndpointId) -> Option<&Candidate> {
        self.all().find(|candidate| candidate.endpoint.id == id)
    }

    /// The tiers that a request may choose from. Backups only if nobody else is up that it has not tried: never because
    /// others are full.
    pub fn tiers_for(&self, tried: &Tried) -> impl Iterator<Item = &Tier> {
        let backups = || {
            let others = self.tiers.iter().filter(|tier| tier.role != Role::Backup);
            others.flat_map(|tier| &tier.candidates).all(|candidate| tried.has(candidate))
        };
        self.tiers.iter().filter(move |tier| tier.role != Role::Backup || backups())
    }

    /// Those of a tier who are out of the question: who were tried, and who are full.
    #[must_use]
    pub fn excluded<'t>(&self, tier: &Tier, tried: &'t Tried) -> Cow<'t, Tried> {
        if !self.limited {
            return Cow::Borrowed(tried);
        }
        let mut excluded = tried.clone();
        let full = tier.candidates.iter().filter(|candidate| candidate.endpoint.in_flight.free() == 0);
        full.for_each(|candidate| excluded.add(candidate.endpoint.id));
        Cow::Owned(excluded)
    }

    /// Those whose slots may be waited for, in the order in which they are given away.
    #[must_use]
    pub fn open(&self) -> Vec<Open<EndpointId>> {
        let by_name = |tier: &Tier| tier.role == Role::Backup && !self.backups_serve;
        let tiers = self.tiers.iter().flat_map(|tier| tier.candidates.iter().map(move |c| c.open(by_name(tier))));
        tiers.chain(self.reserve.iter().map(|candidate| candidate.open(true))).collect()
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

    /// One letter an endpoint: `u`p, `d`own, `t`erminating, terminating and do`w`n, switched `o`ff; `s`tandby and `b`ackup,
    /// which are down as capitals.
    fn members(states: &str) -> Vec<Member> {
        let member = |(state, target): (char, Target)| {
            let Target { mut origin, address } = of_service(target, "tw".contains(state), "a");
            let backend = Arc::make_mut(&mut origin.backend);
            backend.enabled = state != 'o';
            backend.role = match state.to_ascii_lowercase() {
                's' => Role::Standby,
                'b' => Role::Backup,
                _ => Role::Active,
            };
            let endpoint = Arc::new(Endpoint::new(origin.backend.name.clone(), address, 1, Arc::default()));
            if "dwSB".contains(state) {
                let passive = PassiveHealth { max_fails: 1, ..PassiveHealth::default() };
                let settings = model::Health { passive, ..model::Health::default() };
                endpoint.health.lock().fail(tokio::time::Instant::now(), Reason::Reset, &settings);
            }
            Member { origin, endpoint }
        };
        states.chars().zip(targets(&vec![1; states.len()])).map(member).collect()
    }

    fn view(members: &[Member], panic_threshold: u8) -> View {
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.health.panic_threshold = panic_threshold;
        View::build(&config, members)
    }

    fn place(members: &[Member], id: EndpointId) -> usize {
        members.iter().position(|member| member.endpoint.id == id).unwrap()
    }

    /// Places of the candidates among the members.
    fn chosen(states: &str, panic_threshold: u8) -> Vec<usize> {
        let members = members(states);
        let view = view(&members, panic_threshold);
        view.candidates().map(|candidate| place(&members, candidate.endpoint.id)).collect()
    }

    /// Places of those that may be waited for.
    fn awaited(states: &str) -> Vec<usize> {
        let members = members(states);
        let open = view(&members, 0).open();
        open.iter().filter(|open| !open.by_name).map(|open| place(&members, open.key)).collect()
    }

    #[test]
    fn c2_roles_are_asked_in_their_order_whatever_that_of_their_names() {
        assert_eq!(chosen("bsu", 0), [2, 1, 0]);
        assert_eq!(chosen("bsd", 0), [1, 0]);
        assert_eq!(chosen("bSd", 0), [0]);
        assert_eq!(chosen("bSt", 0), [0], "who is about to go comes after all others");
        assert_eq!(chosen("BSt", 0), [2]);
    }

    #[test]
    fn c2_a_backup_is_awaited_only_when_every_other_is_down_or_disabled() {
        assert_eq!(awaited("bsu"), [2, 1]);
        assert_eq!(awaited("bsd"), [1]);
        assert_eq!(awaited("bSd"), [0]);
        assert_eq!(awaited("bo"), [0]);
    }

    #[test]
    fn c2_a_request_that_tried_all_others_may_have_a_backup() {
        let members = members("ub");
        let view = view(&members, 0);
        let roles = |tried: &Tried| view.tiers_for(tried).map(|tier| tier.role).collect::<Vec<_>>();
        let mut tried = Tried::default();
        assert_eq!(roles(&tried), [Role::Active]);
        tried.add(members[0].endpoint.id);
        assert_eq!(roles(&tried), [Role::Active, Role::Backup]);
    }

    #[test]
    fn c7_who_has_no_weight_or_is_about_to_go_may_be_asked_for_by_name() {
        let mut members = members("utod");
        Arc::make_mut(&mut members[0].origin.backend).weight = 0;
        let of = |members: &[Member]| {
            let view = view(members, 0);
            view.reserve.iter().map(|candidate| place(members, candidate.endpoint.id)).collect::<Vec<_>>()
        };
        assert_eq!(of(&members), [0], "the one about to go is the only candidate");
        Arc::make_mut(&mut members[2].origin.backend).enabled = true;
        assert_eq!(of(&members), [0, 1]);
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
