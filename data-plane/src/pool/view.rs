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
}

impl View {
    /// The view of a pool without endpoints.
    #[must_use]
    pub fn empty() -> Self {
        Self { candidates: Box::default(), picker: Picker::first_alive(), panic: false }
    }

    /// Those of `members` that are enabled, have weight and are up; all that are enabled and have weight
    /// if fewer than `panicThreshold` percent of them are up.
    #[must_use]
    pub fn build(config: &model::Pool, members: &[Member]) -> Self {
        let eligible = || members.iter().filter(|m| m.backend.enabled && m.backend.weight > 0);
        let candidate = |m: &Member| Candidate { endpoint: m.endpoint.clone(), weight: m.backend.weight };
        let up: Box<[Candidate]> = eligible().filter(|m| m.is_up()).map(candidate).collect();
        let all = eligible().count();
        let panic = up.len() < all && up.len() * 100 < all * usize::from(config.health.panic_threshold);
        let candidates = if panic { eligible().map(candidate).collect() } else { up };
        Self { picker: Picker::new(&config.balance, &candidates), candidates, panic }
    }
}
