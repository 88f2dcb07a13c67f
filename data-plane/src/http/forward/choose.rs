//! The choice of an endpoint: role, then plugins, then the pool's method (C1, C2), and a free slot of it (A1).

use std::borrow::Cow;
use std::sync::Arc;

use super::{Chosen, Forward, Plugged, text};
use crate::balance::{Choice, Tried};
use crate::http::key;
use crate::plugin::session::Scene;
use crate::plugin::{self, Candidates, Halt};
use crate::pool::{Candidate, InFlight, Pool, Tier, View};

/// What plugins and method come to.
#[derive(Debug)]
pub(super) enum Pick<'a> {
    /// One that has room, or had it a moment ago.
    Free(&'a Candidate),
    /// One that a plugin insists on, with room or not.
    Wanted(&'a Candidate),
    /// None.
    Nobody,
}

impl Forward {
    /// An endpoint that can take the request now.
    pub(super) fn choose(&self, pool: &Arc<Pool>) -> Result<Option<Chosen>, Box<Halt>> {
        let view = pool.runtime.view.load();
        for tier in view.tiers_for(&self.tried) {
            if let Some(chosen) = self.choose_from(tier, pool, &view)? {
                return Ok(Some(chosen));
            }
        }
        Ok(None)
    }

    fn choose_from(&self, tier: &Tier, pool: &Arc<Pool>, view: &View) -> Result<Option<Chosen>, Box<Halt>> {
        let worker = self.exchange.connection.worker.id;
        loop {
            let excluded = self.excluded(tier, view);
            let (candidate, is_wanted) = match self.pick(pool, view, tier, &excluded)? {
                Pick::Free(candidate) => (candidate, false),
                Pick::Wanted(candidate) => (candidate, true),
                Pick::Nobody => return Ok(None),
            };
            let in_flight = match view.limited {
                true => InFlight::try_start(&candidate.endpoint, worker),
                false => Some(InFlight::start(candidate.endpoint.clone(), worker)),
            };
            if let Some(in_flight) = in_flight {
                return Ok(Some(self.chosen(pool, candidate, in_flight)));
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
            return Cow::Borrowed(&self.tried);
        }
        let mut excluded = self.tried.clone();
        let full = tier.candidates.iter().filter(|candidate| candidate.endpoint.in_flight.free() == 0);
        full.for_each(|candidate| excluded.add(candidate.endpoint.id));
        Cow::Owned(excluded)
    }

    pub(super) fn chosen(&self, pool: &Pool, candidate: &Candidate, in_flight: InFlight) -> Chosen {
        let plugged = pool
            .plugins
            .is_some()
            .then(|| Box::new(Plugged { effects: self.visit.effects.clone(), server: candidate.clone() }));
        Chosen { in_flight, plugged }
    }

    /// One of a tier's candidates. What plugins leave goes to the pool's method, if it is more than one (P3).
    fn pick<'v>(
        &self,
        pool: &Arc<Pool>,
        view: &'v View,
        tier: &'v Tier,
        excluded: &Tried,
    ) -> Result<Pick<'v>, Box<Halt>> {
        let Some(plugins) = pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) else {
            return Ok(self.pick_by_method(pool, tier, excluded));
        };
        let candidates = Candidates::new(&tier.candidates, excluded);
        if candidates.is_empty() {
            return Ok(Pick::Nobody);
        }
        let left = self.ask_plugins(plugins, pool, view, candidates)?;
        Ok(match (left.wanted(), left.len()) {
            (Some(candidate), _) => Pick::Wanted(candidate),
            (None, 0) => Pick::Nobody,
            (None, 1) => left.only().map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place])),
            (None, _) => self.pick_by_method(pool, tier, &left.excluded()),
        })
    }

    /// What plugins leave of these candidates.
    pub(super) fn ask_plugins<'v>(
        &self,
        plugins: &plugin::Chain,
        pool: &Arc<Pool>,
        view: &'v View,
        candidates: Candidates<'v>,
    ) -> Result<Candidates<'v>, Box<Halt>> {
        let scene = Scene { connection: &self.exchange.connection, pool, rule: text(&self.rule), server: None };
        let mut candidates = candidates.with_others(view, self.tried.clone());
        plugins.balance(scene, &self.visit.effects, &mut candidates)?;
        Ok(candidates)
    }

    fn pick_by_method<'v>(&self, pool: &Pool, tier: &'v Tier, excluded: &Tried) -> Pick<'v> {
        let connection = &self.exchange.connection;
        let mut choice = Choice {
            tried: excluded,
            cursor: &pool.runtime.cursor,
            key: key::of(&pool.config.balance, &self.visit.effects.request, connection.peer.ip()),
            connection: connection.number.get(),
            rng: &mut connection.worker.rng.borrow_mut(),
        };
        tier.pick(&mut choice).map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
    }
}
