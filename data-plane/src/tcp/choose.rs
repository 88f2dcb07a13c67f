//! Which endpoint of a pool a connection goes to: role, then the pool's method (C2), and a free slot of it (A1), now or
//! when one frees (A2-A4).

use std::convert::Infallible;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::TcpStream;
use weir_proto::model::Balance;

use super::search::{Chosen, Found, Search};
use crate::balance::hash::key_of_address;
use crate::balance::{Choice, Tried};
use crate::pool::admission::{Entry, Held, Room, Wish};
use crate::pool::queue::NoSlot;
use crate::pool::take::Pick;
use crate::pool::{EndpointId, InFlight, Pool, Queue, Tier};
use crate::reason::Reason;

impl Search<'_> {
    /// An endpoint that can take the connection now.
    pub(super) fn choose(&self, pool: &Pool) -> Option<Chosen> {
        let view = pool.runtime.view.load();
        let pick = |tier, excluded: &Tried| Ok::<_, Infallible>(self.pick(pool, tier, excluded));
        let Ok(taken) = view.take(self.session.worker(), &self.tried, pick);
        taken.map(|(candidate, in_flight)| Chosen { candidate: candidate.clone(), in_flight })
    }

    fn pick<'t>(&self, pool: &Pool, tier: &'t Tier, excluded: &Tried) -> Pick<'t> {
        let connection = &self.session.connection;
        let mut choice = Choice {
            tried: excluded,
            cursor: &pool.runtime.cursor,
            key: match pool.config.balance {
                Balance::Hash(_) => key_of_address(connection.peer.ip().to_canonical()),
                _ => 0,
            },
            connection: connection.number.get(),
            rng: &mut connection.worker.rng.borrow_mut(),
        };
        tier.pick(&mut choice).map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
    }

    /// Waits in the pool's queue, if somebody could be waited for; otherwise says how the search goes on.
    pub(super) async fn wait(&mut self, pool: &Arc<Pool>) -> Result<Chosen, Found> {
        let settings = &pool.config.queue;
        if !settings.when_unavailable && !pool.runtime.view.load().limited {
            return Err(Found::Nothing);
        }
        let worker = self.session.worker();
        let queue = Queue::new(&pool.runtime, worker, settings.timeout);
        let room = Room { limit: settings.limit as usize, for_recovery: self.waits_for_recovery(pool) };
        let mut entry = queue.enter(self.wish(), room);
        loop {
            let slot = self.slot(&queue, entry).await?;
            let candidate = pool.runtime.view.load().find(slot.key()).cloned();
            if let Some(candidate) = candidate {
                let in_flight = InFlight::with(slot, candidate.endpoint.clone(), worker);
                return Ok(Chosen { candidate, in_flight });
            }
            // It has gone meanwhile.
            entry = slot.wait_on(self.wish(), room.for_recovery);
        }
    }

    fn wish(&self) -> Wish<EndpointId> {
        Wish { only: None, but: self.tried.iter().collect() }
    }

    /// The slot that is waited for, unless the time is over or the client leaves before.
    async fn slot(&mut self, queue: &Queue<'_>, entry: Entry<EndpointId>) -> Result<Held<EndpointId>, Found> {
        let (reason, found) = tokio::select! {
            biased;
            slot = queue.slot(entry) => match slot {
                Ok(slot) => return Ok(slot),
                Err(NoSlot::Nobody) => (None, Found::Nothing),
                Err(NoSlot::Full) => (Some(Reason::QueueFull), Found::Nothing),
                Err(NoSlot::TooLate) => (Some(Reason::QueueTimeout), Found::Nowhere),
            },
            () = leaves(self.client) => (Some(Reason::ClientAbort), Found::Nowhere),
        };
        self.reason = reason.or(self.reason);
        Err(found)
    }

    /// Whether nobody of the chain is up, and that is worth waiting for.
    fn waits_for_recovery(&self, pool: &Pool) -> bool {
        let is_up = self.chain().is_some_and(|chain| chain.has_candidates(&self.session.table.pools));
        pool.config.queue.when_unavailable && !is_up && pool.runtime.may_recover(&self.tried)
    }
}

/// Ends when the client has left. One that has sent something and then ends its side may still want the answer.
async fn leaves(client: &TcpStream) {
    if let Ok(1..) = client.peek(&mut [0]).await {
        // Nothing more can be told of it than that it was reset.
        let _ = client.ready(Interest::ERROR).await;
    }
}
