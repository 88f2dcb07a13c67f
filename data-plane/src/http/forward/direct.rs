//! Requests that name the backend that they go to (C7): it gets them whatever its capacity and weight, or nobody does.

use std::sync::Arc;

use http::HeaderMap;
use tracing::warn;

use super::{Chosen, Forward, Last, Search, TurnedAway};
use crate::http::carrier;
use crate::pool::{Candidate, InFlight, Pool, View};
use crate::reason::Reason;

impl Forward {
    /// Whether the request names a backend.
    pub(super) fn is_directed(&self, pool: &Pool) -> bool {
        self.named(pool).is_some()
    }

    fn named(&self, pool: &Pool) -> Option<&[u8]> {
        name(pool, &self.visit.effects.request.headers)
    }

    /// The backend that the request names; of several endpoints the one with the fewest requests in flight.
    pub(super) fn choose_directed(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Chosen, Search> {
        let name = self.named(pool).unwrap_or_default();
        let view = pool.runtime.view.load();
        if let Some(candidate) = find(&view, name) {
            let in_flight = InFlight::start(candidate.endpoint.clone(), self.exchange.connection.worker.id);
            return Ok(self.chosen(pool, candidate, in_flight));
        }
        let (why, reason) = missing(pool, name);
        let backend = String::from_utf8_lossy(name);
        warn!(pool = %pool.config.name, ?backend, "the backend that a request asks for {why}");
        self.last = Last::TurnedAway(TurnedAway::Directed(reason), number);
        Err(Search::Ends)
    }
}

/// The name that a request with these headers carries. An empty one names nobody.
pub(crate) fn name<'h>(pool: &Pool, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    let value = carrier::value(pool.config.direct.as_ref()?, headers);
    value.filter(|name| !name.is_empty())
}

/// Who has this name; of several endpoints the one with the fewest requests in flight.
pub(crate) fn find<'v>(view: &'v View, name: &[u8]) -> Option<&'v Candidate> {
    let named = view.all().filter(|candidate| candidate.endpoint.backend.name().as_bytes() == name);
    let up = named.filter(|candidate| candidate.endpoint.is_up());
    up.min_by_key(|candidate| candidate.endpoint.in_flight.current())
}

/// Why nobody of this name can be had, for people, too.
pub(crate) fn missing(pool: &Pool, name: &[u8]) -> (&'static str, Reason) {
    let enabled = pool.runtime.with_members(|active, _| {
        let member = active.iter().find(|member| member.endpoint.backend.name().as_bytes() == name);
        member.map(|member| member.origin.backend.enabled)
    });
    match enabled {
        None => ("is not there", Reason::NoBackend),
        Some(false) => ("is disabled", Reason::Disabled),
        Some(true) => ("is down", Reason::NoBackend),
    }
}
