//! Requests that name the backend that they go to (C7): it gets them whatever its capacity and weight, or nobody does.

use std::sync::Arc;

use tracing::warn;

use super::{Chosen, Forward, Last, Search, TurnedAway};
use crate::http::carrier;
use crate::pool::{InFlight, Pool};
use crate::reason::Reason;

impl Forward {
    /// Whether the request names a backend.
    pub(super) fn is_directed(&self, pool: &Pool) -> bool {
        self.named(pool).is_some()
    }

    /// The name that the request carries. An empty one names nobody.
    fn named(&self, pool: &Pool) -> Option<&[u8]> {
        let value = carrier::value(pool.config.direct.as_ref()?, &self.visit.effects.request.headers);
        value.filter(|name| !name.is_empty())
    }

    /// The backend that the request names; of several endpoints the one with the fewest requests in flight.
    pub(super) fn choose_directed(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Chosen, Search> {
        let name = self.named(pool).unwrap_or_default();
        let view = pool.runtime.view.load();
        let named = view.all().filter(|candidate| candidate.endpoint.backend.name().as_bytes() == name);
        let up = named.filter(|candidate| candidate.endpoint.is_up());
        if let Some(candidate) = up.min_by_key(|candidate| candidate.endpoint.in_flight.current()) {
            let in_flight = InFlight::start(candidate.endpoint.clone(), self.exchange.connection.worker.id);
            return Ok(self.chosen(pool, candidate, in_flight));
        }
        let reason = explain(pool, name);
        self.last = Last::TurnedAway(TurnedAway::Directed(reason), number);
        Err(Search::Ends)
    }
}

/// Why nobody of this name can be had, for people, too.
fn explain(pool: &Pool, name: &[u8]) -> Reason {
    let enabled = pool.runtime.with_members(|active, _| {
        let member = active.iter().find(|member| member.endpoint.backend.name().as_bytes() == name);
        member.map(|member| member.origin.backend.enabled)
    });
    let (why, reason) = match enabled {
        None => ("is not there", Reason::NoBackend),
        Some(false) => ("is disabled", Reason::Disabled),
        Some(true) => ("is down", Reason::NoBackend),
    };
    let backend = String::from_utf8_lossy(name);
    warn!(pool = %pool.config.name, ?backend, "the backend that a request asks for {why}");
    reason
}
