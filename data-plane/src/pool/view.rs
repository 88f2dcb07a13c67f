//! The endpoints of a pool that may be chosen now, with everything a choice needs prepared.

use std::sync::Arc;

use weir_proto::model;

use super::Endpoint;
use super::members::Member;
use crate::balance::Picker;

/// An endpoint that may be chosen.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where requests go.
    pub endpoint: Arc<Endpoint>,
    /// Its share, at least 1.
    pub weight: u32,
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

    /// Those of `members` that are enabled, have weight and are up; all that are enabled and have weight
    /// if fewer than `panicThreshold` percent of them are up.
    #[must_use]
    pub fn build(config: &model::Pool, members: &[Member]) -> Self {
        let eligible: Vec<&Member> = members.iter().filter(|m| m.backend.enabled && m.backend.weight > 0).collect();
        let up = eligible.iter().filter(|m| m.is_up()).count();
        let panic = up < eligible.len() && up * 100 < eligible.len() * usize::from(config.health.panic_threshold);
        let mut places = Vec::with_capacity(eligible.len());
        let mut candidates = Vec::with_capacity(eligible.len());
        for member in eligible {
            let chosen = panic || member.is_up();
            places.push(chosen.then_some(candidates.len()));
            if chosen {
                candidates.push(Candidate { endpoint: member.endpoint.clone(), weight: member.backend.weight });
            }
        }
        Self { picker: Picker::new(&config.balance, &candidates, &places), candidates: candidates.into(), panic, up }
    }
}
