//! A request that waits for a backend with room, or for one that comes up (A2-A4).

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{Chosen, Forward, Last, Search, TurnedAway};
use crate::balance::Tried;
use crate::http::attempt::Template;
use crate::http::limit;
use crate::plugin::{Candidates, Halt};
use crate::pool::admission::{Room, Wish};
use crate::pool::queue::NoSlot;
use crate::pool::{Candidate, EndpointId, InFlight, Pool, Queue};
use crate::trace::Waits;

/// What becomes of a slot that was waited for.
enum Verdict {
    /// It is taken.
    Taken(Candidate),
    /// Plugins do not want it.
    Refused,
    /// Plugins want this one and no other.
    Wants(EndpointId),
    /// Its endpoint has gone meanwhile.
    Gone,
}

impl Forward {
    /// Whether somebody could be waited for. Nobody waits with an answer in hand, which may hold a slot that others wait
    /// for.
    pub(super) fn may_wait(&self, pool: &Pool) -> bool {
        let queue = &pool.config.queue;
        (queue.when_unavailable || pool.runtime.view.load().limited) && !matches!(self.last, Last::Answered(..))
    }

    /// Waits in the pool's queue.
    pub(super) async fn wait(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Result<Chosen, Search>, Box<Halt>> {
        let worker = self.exchange.connection.worker.id;
        let queue = Queue::new(&pool.runtime, worker, self.longest_wait(pool));
        let room = Room { limit: pool.config.queue.limit as usize, for_recovery: self.waits_for_recovery(pool) };
        let request = self.visit.effects.request.clone();
        let _waits = Waits::begin(request.trace.clone());
        let mut refused = self.tried.clone();
        let mut entry = queue.enter(wish(None, &refused), room);
        loop {
            let slot = match reading_ahead(&request, queue.slot(entry)).await {
                Ok(slot) => slot,
                Err(why) => return Ok(Err(self.turn_away(pool, number, why))),
            };
            let mut only = None;
            match self.judge_slot(pool, slot.key())? {
                Verdict::Taken(candidate) => {
                    let in_flight = InFlight::with(slot, candidate.endpoint.clone(), worker);
                    return Ok(Ok(self.chosen(pool, &candidate, in_flight)));
                }
                Verdict::Wants(id) => only = Some(id),
                Verdict::Refused => refused.add(slot.key()),
                Verdict::Gone => {}
            }
            entry = slot.wait_on(wish(only, &refused), room.for_recovery);
        }
    }

    /// As long as the queue, and `timeouts.request`, allow.
    fn longest_wait(&self, pool: &Pool) -> Duration {
        let left = limit::left(self.exchange.limit(pool), self.exchange.began.elapsed());
        limit::shorter(pool.config.queue.timeout, left)
    }

    /// Whether nobody of the chain is up, and that is worth waiting for.
    fn waits_for_recovery(&self, pool: &Pool) -> bool {
        let is_up = |chain: &Arc<crate::table::Chain>| chain.has_candidates(&self.exchange.table.pools);
        pool.config.queue.when_unavailable
            && !self.rule.as_ref().is_some_and(is_up)
            && pool.runtime.may_recover(&self.tried)
    }

    /// Asks plugins whether they want this endpoint.
    fn judge_slot(&self, pool: &Arc<Pool>, id: EndpointId) -> Result<Verdict, Box<Halt>> {
        let view = pool.runtime.view.load();
        let Some(candidate) = view.find(id) else { return Ok(Verdict::Gone) };
        let Some(plugins) = pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) else {
            return Ok(Verdict::Taken(candidate.clone()));
        };
        let only = Candidates::new(slice::from_ref(candidate), &Tried::default());
        let left = self.chooser(pool).ask_plugins(plugins, &view, only)?;
        Ok(match left.wanted() {
            Some(other) => Verdict::Wants(other.endpoint.id),
            None if left.is_empty() => Verdict::Refused,
            None => Verdict::Taken(candidate.clone()),
        })
    }

    fn turn_away(&mut self, pool: &Pool, number: usize, why: NoSlot) -> Search {
        let (turned_away, search) = match why {
            NoSlot::Nobody => return Search::GoesOn,
            NoSlot::Full => (TurnedAway::QueueFull, Search::GoesOn),
            NoSlot::TooLate => {
                let status = StatusCode::from_u16(pool.config.queue.expired_status);
                (TurnedAway::QueueTimeout(status.unwrap_or(StatusCode::GATEWAY_TIMEOUT)), Search::Ends)
            }
        };
        self.last = Last::TurnedAway(turned_away, number);
        search
    }
}

/// Waits, and reads a little of the request meanwhile.
async fn reading_ahead<T>(request: &Template, wait: impl Future<Output = T>) -> T {
    let Some(body) = &request.body else { return wait.await };
    tokio::select! {
        biased;
        result = wait => result,
        never = body.read_ahead() => match never {},
    }
}

fn wish(only: Option<EndpointId>, but: &Tried) -> Wish<EndpointId> {
    Wish { only, but: but.iter().collect() }
}
