//! A request that waits for a backend with room, or for one that comes up (A2-A4).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{Chosen, Forward, Last, Search, TurnedAway};
use crate::balance::Tried;
use crate::http::attempt::Template;
use crate::http::choose::Verdict;
use crate::http::limit;
use crate::plugin::Halt;
use crate::pool::admission::{Room, Wish};
use crate::pool::queue::NoSlot;
use crate::pool::{EndpointId, InFlight, Pool, Queue};
use crate::table::{Chain, Pools};
use crate::trace::Waits;

impl Forward {
    /// Whether somebody could be waited for. Nobody waits with an answer in hand, which may hold a slot that others wait
    /// for.
    pub(super) fn may_wait(&self, pool: &Pool) -> bool {
        has_queue(pool) && !matches!(self.last, Last::Answered(..))
    }

    /// Waits in the pool's queue.
    pub(super) async fn wait(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Result<Chosen, Search>, Box<Halt>> {
        let worker = self.exchange.connection.worker.id;
        let queue = Queue::new(&pool.runtime, worker, self.longest_wait(pool));
        let room = room(pool, self.rule.as_deref(), &self.exchange.table.pools, &self.tried);
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
            let view = pool.runtime.view.load();
            match self.chooser(pool).judge(&view, slot.key())? {
                Verdict::Taken(candidate) => {
                    let in_flight = InFlight::with(slot, candidate.endpoint.clone(), worker);
                    return Ok(Ok(self.chosen(pool, candidate, in_flight)));
                }
                Verdict::Wants(id) => only = Some(id),
                Verdict::Refused => refused.add(slot.key()),
                Verdict::Gone => {}
            }
            drop(view);
            entry = slot.wait_on(wish(only, &refused), room.for_recovery);
        }
    }

    /// As long as the queue, and `timeouts.request`, allow.
    fn longest_wait(&self, pool: &Pool) -> Duration {
        let left = limit::left(self.exchange.limit(pool), self.exchange.began.elapsed());
        limit::shorter(pool.config.queue.timeout, left)
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

/// Whether requests may wait in this pool.
pub(crate) fn has_queue(pool: &Pool) -> bool {
    pool.config.queue.when_unavailable || pool.runtime.view.load().limited
}

/// What place there is for one that has tried these, whose rule has this chain. While nobody of the chain is up, one may
/// wait for that if the pool says so.
pub(crate) fn room(pool: &Pool, rule: Option<&Chain>, pools: &Pools, tried: &Tried) -> Room {
    let is_up = |chain: &Chain| chain.has_candidates(pools);
    let for_recovery =
        pool.config.queue.when_unavailable && !rule.is_some_and(is_up) && pool.runtime.may_recover(tried);
    Room { limit: pool.config.queue.limit as usize, for_recovery }
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

/// What one wants that has been refused by these, or has refused them.
pub(crate) fn wish(only: Option<EndpointId>, but: &Tried) -> Wish<EndpointId> {
    Wish { only, but: but.iter().collect() }
}
