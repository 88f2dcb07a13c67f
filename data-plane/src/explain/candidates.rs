//! What becomes of each endpoint of a pool when one of them is chosen.

use weir_proto::model::Role;

use super::answer::CandidateSeen;
use super::forecast::Shares;
use super::plugins::{is_of_choice, name};
use crate::balance::Tried;
use crate::plugin::rehearsal::{Answer, Call};
use crate::pool::status::{EndpointState, Status};
use crate::pool::{Candidate, EndpointId, Member, Pool, Tier, View};

/// What is known of a choice.
#[derive(Debug)]
pub(super) struct Choosing<'a> {
    pub(super) pool: &'a Pool,
    pub(super) view: &'a View,
    /// Who gets the request; the likeliest, if several may.
    pub(super) chosen: Option<&'a Candidate>,
    /// How likely each gets it.
    pub(super) shares: &'a Shares,
    /// Calls of plugins in this pool.
    pub(super) calls: &'a [Call],
    /// Whom the request names.
    pub(super) directed: Option<&'a str>,
}

impl Choosing<'_> {
    /// Each endpoint that has not left the pool.
    pub(super) fn candidates(&self) -> Vec<CandidateSeen> {
        let members = self.pool.runtime.members();
        let here = members.iter().filter(|member| !member.status().state.is_gone());
        here.map(|member| self.candidate(member)).collect()
    }

    fn candidate(&self, member: &Member) -> CandidateSeen {
        let Member { origin, endpoint } = member;
        let (backend, status) = (&*origin.backend, member.status());
        let share = self.shares.get(&endpoint.id).copied().unwrap_or_default();
        let (reason, detail) = self.why(member, &status, share);
        CandidateSeen {
            pool: self.pool.config.name.to_string(),
            backend: backend.name.name().to_owned(),
            address: endpoint.address.to_string(),
            role: backend.role.as_str().to_owned(),
            weight: backend.weight,
            state: status.state.as_str().to_owned(),
            in_flight: endpoint.in_flight.current(),
            capacity: backend.capacity,
            kept: share > 0.0,
            share,
            reason: reason.to_owned(),
            detail,
        }
    }

    fn why(&self, member: &Member, status: &Status, share: f64) -> (&'static str, String) {
        let id = member.endpoint.id;
        let method = self.pool.config.balance.as_str();
        if self.chosen.is_some_and(|chosen| chosen.endpoint.id == id) {
            let by = self.directed.map_or(format!("chosen by {method}"), |_| "the request names it".to_owned());
            return ("chosen", by);
        }
        if share > 0.0 {
            return ("possible", format!("{method} may choose it"));
        }
        if let Some(name) = self.directed {
            return ("directed", format!("the request names {name:?}"));
        }
        let Some(tier) = self.view.tiers.iter().find(|tier| has(tier, id)) else { return out(member, status) };
        self.in_view(member, tier)
    }

    /// Why one of those to choose from is not chosen.
    fn in_view(&self, member: &Member, tier: &Tier) -> (&'static str, String) {
        let (slots, capacity) = (&member.endpoint.in_flight, member.origin.backend.capacity);
        if !self.asked().any(|asked| asked.role == tier.role) {
            return ("role", format!("{} is not asked: {}", tier.role.as_str(), until(tier.role)));
        }
        if let Some(call) = self.dropped_by(member.endpoint.id) {
            return ("plugin", format!("dropped by {}", name(call)));
        }
        if slots.free() == 0 {
            return ("full", format!("{} of {capacity} in flight", slots.current()));
        }
        ("method", format!("not chosen by {}", self.pool.config.balance.as_str()))
    }

    /// The tiers that were looked at: all up to the one of the choice.
    fn asked(&self) -> impl Iterator<Item = &Tier> {
        let tiers: Vec<&Tier> = self.view.tiers_for(&Tried::default()).collect();
        let last = self.chosen.and_then(|chosen| tiers.iter().position(|tier| has(tier, chosen.endpoint.id)));
        let asked = last.map_or(tiers.len(), |last| last + 1);
        tiers.into_iter().take(asked)
    }

    fn dropped_by(&self, id: EndpointId) -> Option<&Call> {
        self.calls.iter().filter(|call| is_of_choice(call)).find(|call| match &call.answer {
            Answer::Keeps { dropped, .. } => dropped.contains(&id),
            _ => false,
        })
    }
}

fn has(tier: &Tier, id: EndpointId) -> bool {
    tier.candidates.iter().any(|candidate| candidate.endpoint.id == id)
}

/// What such a role waits for.
fn until(role: Role) -> &'static str {
    match role {
        Role::Active => "it comes first",
        Role::Standby => "an active one takes the request",
        Role::Backup => "an active or standby one is up, if only a full one",
    }
}

/// Why one is not among those to choose from.
fn out(member: &Member, status: &Status) -> (&'static str, String) {
    let since = status.since;
    let because = |word: &str| match status.reason() {
        "" => format!("{word} since {since:.0}"),
        reason => format!("{word} since {since:.0}: {reason}"),
    };
    match status.state {
        _ if !member.origin.backend.enabled => ("disabled", "taken out by hand".to_owned()),
        EndpointState::Ejected => ("ejected", because("out after failed requests")),
        EndpointState::Down => ("down", because("its probes do not pass,")),
        _ if member.origin.is_terminating() => ("terminating", "about to leave its Service".to_owned()),
        _ if member.origin.backend.weight == 0 => ("weight", "weight 0: no new traffic".to_owned()),
        _ => ("role", format!("{} is not asked: others are up", member.origin.backend.role.as_str())),
    }
}
