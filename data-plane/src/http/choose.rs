//! Which endpoint of a pool a request goes to: role, then plugins, then the pool's method (C1-C3, P3), and a free slot of
//! it (A1).

use std::borrow::Cow;

use super::key;
use crate::balance::{Choice, Tried};
use crate::plugin::session::Scene;
use crate::plugin::{Candidates, Chain, Effects, Halt};
use crate::pool::{Candidate, InFlight, Tier, View};

/// A request that looks for an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Quest<'a> {
    /// Where it is.
    pub scene: Scene<'a>,
    /// What it has tried.
    pub tried: &'a Tried,
    /// What plugins have made of it.
    pub effects: &'a Effects,
}

/// What plugins and method come to.
enum Pick<'v> {
    /// One that has room, or had it a moment ago.
    Free(&'v Candidate),
    /// One that a plugin insists on, with room or not.
    Wanted(&'v Candidate),
    /// None.
    Nobody,
}

impl Quest<'_> {
    /// An endpoint that can take the request now, with a slot of it.
    ///
    /// # Errors
    /// If a plugin fails that the request must not go on without.
    pub fn choose<'v>(&self, view: &'v View) -> Result<Option<(&'v Candidate, InFlight)>, Box<Halt>> {
        for tier in view.tiers_for(self.tried) {
            if let Some(chosen) = self.choose_from(tier, view)? {
                return Ok(Some(chosen));
            }
        }
        Ok(None)
    }

    fn choose_from<'v>(&self, tier: &'v Tier, view: &'v View) -> Result<Option<(&'v Candidate, InFlight)>, Box<Halt>> {
        let worker = self.scene.connection.worker.id;
        loop {
            let excluded = self.excluded(tier, view);
            let (candidate, is_wanted) = match self.pick(view, tier, &excluded)? {
                Pick::Free(candidate) => (candidate, false),
                Pick::Wanted(candidate) => (candidate, true),
                Pick::Nobody => return Ok(None),
            };
            let in_flight = match view.limited {
                true => InFlight::try_start(&candidate.endpoint, worker),
                false => Some(InFlight::start(candidate.endpoint.clone(), worker)),
            };
            if let Some(in_flight) = in_flight {
                return Ok(Some((candidate, in_flight)));
            }
            if is_wanted {
                return Ok(None);
            }
            // Someone else took its last slot, which can be seen by now.
        }
    }

    /// What was tried, and who is full.
    fn excluded(&self, tier: &Tier, view: &View) -> Cow<'_, Tried> {
        if !view.limited {
            return Cow::Borrowed(self.tried);
        }
        let mut excluded = self.tried.clone();
        let full = tier.candidates.iter().filter(|candidate| candidate.endpoint.in_flight.free() == 0);
        full.for_each(|candidate| excluded.add(candidate.endpoint.id));
        Cow::Owned(excluded)
    }

    /// One of a tier's candidates. What plugins leave goes to the pool's method, if it is more than one (P3).
    fn pick<'v>(&self, view: &'v View, tier: &'v Tier, excluded: &Tried) -> Result<Pick<'v>, Box<Halt>> {
        let Some(plugins) = self.plugins() else { return Ok(self.pick_by_method(tier, excluded)) };
        let candidates = Candidates::new(&tier.candidates, excluded);
        if candidates.is_empty() {
            return Ok(Pick::Nobody);
        }
        let left = self.ask(plugins, view, candidates)?;
        Ok(match (left.wanted(), left.len()) {
            (Some(candidate), _) => Pick::Wanted(candidate),
            (None, 0) => Pick::Nobody,
            (None, 1) => left.only().map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place])),
            (None, _) => self.pick_by_method(tier, &left.excluded()),
        })
    }

    /// The plugins that have a say.
    #[must_use]
    pub fn plugins(&self) -> Option<&Chain> {
        self.scene.pool.plugins.as_deref().filter(|plugins| plugins.hooks().balance)
    }

    /// What plugins leave of these candidates.
    ///
    /// # Errors
    /// As for [`Quest::choose`].
    pub fn ask<'v>(
        &self,
        plugins: &Chain,
        view: &'v View,
        candidates: Candidates<'v>,
    ) -> Result<Candidates<'v>, Box<Halt>> {
        let mut candidates = candidates.with_others(view, self.tried.clone());
        plugins.balance(self.scene, self.effects, &mut candidates)?;
        Ok(candidates)
    }

    fn pick_by_method<'v>(&self, tier: &'v Tier, excluded: &Tried) -> Pick<'v> {
        let Scene { connection, pool, .. } = self.scene;
        let mut choice = Choice {
            tried: excluded,
            cursor: &pool.runtime.cursor,
            key: key::of(&pool.config.balance, &self.effects.request, connection.peer.ip()),
            connection: connection.number.get(),
            rng: &mut connection.worker.rng.borrow_mut(),
        };
        tier.pick(&mut choice).map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
    }
}
