//! Which endpoint of a pool a request goes to: role, then plugins, then the pool's method (C1, C2), and a free slot of it
//! (A1).

use super::key;
use crate::balance::{Choice, Tried};
use crate::plugin::session::Scene;
use crate::plugin::{self, Candidates, Effects, Halt};
use crate::pool::take::Pick;
use crate::pool::{Candidate, InFlight, Tier, View};

/// One request that needs an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Chooser<'a> {
    /// Where the request is.
    pub scene: Scene<'a>,
    /// What plugins have made of it.
    pub effects: &'a Effects,
    /// Whom it has tried.
    pub tried: &'a Tried,
}

impl<'a> Chooser<'a> {
    /// An endpoint that can take the request now, and the slot of it.
    ///
    /// # Errors
    /// If a plugin fails that the request must not go on without.
    pub fn choose<'v>(&self, view: &'v View) -> Result<Option<(&'v Candidate, InFlight)>, Box<Halt>> {
        view.take(self.scene.connection.worker.id, self.tried, |tier, excluded| self.pick(view, tier, excluded))
    }

    /// One of a tier's candidates. What plugins leave goes to the pool's method, if it is more than one (P3).
    fn pick<'v>(&self, view: &'v View, tier: &'v Tier, excluded: &Tried) -> Result<Pick<'v>, Box<Halt>> {
        let Some(plugins) = self.scene.pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) else {
            return Ok(self.pick_by_method(tier, excluded));
        };
        let candidates = Candidates::new(&tier.candidates, excluded);
        if candidates.is_empty() {
            return Ok(Pick::Nobody);
        }
        let left = self.ask_plugins(plugins, view, candidates)?;
        Ok(match (left.wanted(), left.len()) {
            (Some(candidate), _) => Pick::Wanted(candidate),
            (None, 0) => Pick::Nobody,
            (None, 1) => left.only().map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place])),
            (None, _) => self.pick_by_method(tier, &left.excluded()),
        })
    }

    /// What plugins leave of these candidates.
    ///
    /// # Errors
    /// As for [`Chooser::choose`].
    pub fn ask_plugins<'v>(
        &self,
        plugins: &plugin::Chain,
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
            key: key::of(&pool.config.balance, &self.effects.request, self.effects.request.origin.client.ip()),
            connection: connection.number.get(),
            rng: &mut connection.worker.rng.borrow_mut(),
        };
        tier.pick(&mut choice).map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
    }
}
