//! Which endpoint of a pool a request goes to: role, then plugins, then the pool's method (C1, C2), and a free slot of it
//! (A1).

use std::slice;
use std::sync::atomic::AtomicUsize;

use rand::rngs::SmallRng;

use super::key;
use crate::balance::{Choice, Tried};
use crate::plugin::session::Scene;
use crate::plugin::{self, Candidates, Effects, Halt};
use crate::pool::take::Pick;
use crate::pool::{Candidate, EndpointId, InFlight, Tier, View};

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

/// What becomes of a slot that was waited for.
#[derive(Debug)]
pub enum Verdict<'v> {
    /// It is taken.
    Taken(&'v Candidate),
    /// Plugins do not want it.
    Refused,
    /// Plugins want this one and no other.
    Wants(EndpointId),
    /// Its endpoint has gone meanwhile.
    Gone,
}

impl<'a> Chooser<'a> {
    /// An endpoint that can take the request now, and the slot of it.
    ///
    /// # Errors
    /// If a plugin fails that the request must not go on without.
    pub fn choose<'v>(&self, view: &'v View) -> Result<Option<(&'v Candidate, InFlight)>, Box<Halt>> {
        let by_method = |tier, excluded: &Tried| self.pick_by_method(tier, excluded);
        view.take(self.scene.connection.worker.id, self.tried, |tier, excluded| {
            self.pick(view, tier, excluded, by_method)
        })
    }

    /// The endpoint that [`Chooser::choose`] would come to if the pool's method were this one; its slot stays free.
    ///
    /// # Errors
    /// As for [`Chooser::choose`].
    pub fn foresee<'v>(
        &self,
        view: &'v View,
        mut by_method: impl FnMut(&'v Tier, &Tried) -> Pick<'v>,
    ) -> Result<Option<&'v Candidate>, Box<Halt>> {
        let has_room = |candidate: &Candidate| (candidate.endpoint.in_flight.free() > 0).then_some(());
        let pick = |tier, excluded: &Tried| self.pick(view, tier, excluded, &mut by_method);
        Ok(view.choose(self.tried, pick, has_room)?.map(|(candidate, ())| candidate))
    }

    /// One of a tier's candidates. What plugins leave goes to the pool's method, if it is more than one (P3).
    fn pick<'v>(
        &self,
        view: &'v View,
        tier: &'v Tier,
        excluded: &Tried,
        by_method: impl FnOnce(&'v Tier, &Tried) -> Pick<'v>,
    ) -> Result<Pick<'v>, Box<Halt>> {
        let Some(plugins) = self.scene.pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) else {
            return Ok(by_method(tier, excluded));
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
            (None, _) => by_method(tier, &left.excluded()),
        })
    }

    /// Asks plugins whether they want this endpoint, of which there is a slot.
    ///
    /// # Errors
    /// As for [`Chooser::choose`].
    pub fn judge<'v>(&self, view: &'v View, id: EndpointId) -> Result<Verdict<'v>, Box<Halt>> {
        let Some(candidate) = view.find(id) else { return Ok(Verdict::Gone) };
        let Some(plugins) = self.scene.pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) else {
            return Ok(Verdict::Taken(candidate));
        };
        let only = Candidates::new(slice::from_ref(candidate), &Tried::default());
        let left = self.ask_plugins(plugins, view, only)?;
        Ok(match left.wanted() {
            Some(other) => Verdict::Wants(other.endpoint.id),
            None if left.is_empty() => Verdict::Refused,
            None => Verdict::Taken(candidate),
        })
    }

    /// What plugins leave of these candidates.
    fn ask_plugins<'v>(
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
        let mut rng = self.scene.connection.worker.rng.borrow_mut();
        let mut choice = self.choice(excluded, &self.scene.pool.runtime.cursor, &mut rng);
        tier.pick(&mut choice).map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
    }

    /// What the pool's method may go by, with this position of its turns.
    pub fn choice<'c>(&self, tried: &'c Tried, cursor: &'c AtomicUsize, rng: &'c mut SmallRng) -> Choice<'c> {
        let Scene { connection, pool, .. } = self.scene;
        let request = &self.effects.request;
        let key = key::of(&pool.config.balance, request, request.origin.client.ip());
        Choice { tried, cursor, key, connection: connection.number.get(), rng }
    }
}
