//! The candidates of one role, with the pool's method, and the share that new ones get of it (C6).

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use weir_proto::model::{self, Role};

use super::{Candidate, Member};
use crate::balance::{Choice, Picker, Tried, hash};

/// Share of its share that an endpoint has at first.
const FIRST_SHARE: f64 = 0.1;

/// The candidates of one role.
#[derive(Debug)]
pub struct Tier {
    /// Which one.
    pub role: Role,
    /// In the order of backend name and address.
    pub candidates: Box<[Candidate]>,
    /// The pool's method, prepared for these candidates.
    picker: Picker,
    warming: Box<[Warming]>,
    slow_start: Duration,
}

/// A candidate that came up a short while ago.
#[derive(Debug)]
struct Warming {
    place: usize,
    since: Instant,
}

impl Tier {
    /// Of the `members` of this role, which are in order with what each is a candidate by, if it is one. `None` without
    /// candidates.
    #[must_use]
    pub fn build(config: &model::Pool, role: Role, members: &[(&Member, bool)], now: Instant) -> Option<Self> {
        let mut places = Vec::with_capacity(members.len());
        let mut candidates = Vec::with_capacity(members.len());
        for (member, chosen) in members.iter().filter(|(member, _)| member.origin.backend.role == role) {
            places.push(chosen.then_some(candidates.len()));
            if *chosen {
                candidates.push(Candidate::of(member));
            }
        }
        let slow_start = config.health.slow_start;
        let warming = (0..).zip(&candidates).filter_map(|(place, candidate)| {
            let since = (*candidate.endpoint.came_up.lock())?;
            (now.saturating_duration_since(since) < slow_start).then_some(Warming { place, since })
        });
        let (warming, picker) = (warming.collect(), Picker::new(&config.balance, &candidates, &places));
        (!candidates.is_empty()).then(|| Self { role, picker, warming, slow_start, candidates: candidates.into() })
    }

    /// The place of the candidate that the method picks. One that warms up is left out as often as its share says, if
    /// there is another.
    pub fn pick(&self, choice: &mut Choice<'_>) -> Option<usize> {
        if self.warming.is_empty() {
            return self.picker.pick(&self.candidates, choice);
        }
        let spared = self.spared(choice);
        let picked = self.picker.pick(&self.candidates, &mut Choice { tried: &spared, ..choice.again() });
        picked.or_else(|| self.picker.pick(&self.candidates, choice))
    }

    /// What is out of the question, and with it those that are spared this time.
    fn spared(&self, choice: &mut Choice<'_>) -> Tried {
        let mut spared = choice.tried.clone();
        let now = Instant::now();
        for Warming { place, since } in &self.warming {
            let candidate = &self.candidates[*place];
            // By the key, so that it moves once and not to and fro.
            let draw = match &self.picker {
                Picker::Hash(_) => hash::uniform(candidate, choice.key),
                _ => choice.rng.random(),
            };
            if draw >= share(now.saturating_duration_since(*since), self.slow_start) {
                spared.add(candidate.endpoint.id);
            }
        }
        spared
    }
}

/// From [`FIRST_SHARE`] to 1, in proportion to the time.
fn share(age: Duration, slow_start: Duration) -> f64 {
    FIRST_SHARE + (1.0 - FIRST_SHARE) * age.div_duration_f64(slow_start)
}
