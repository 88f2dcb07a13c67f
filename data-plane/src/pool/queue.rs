//! One request, or connection, that waits for a slot of a pool (A2): how long, and what is counted of it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::admission::{Entry, Held, Room, Wish};
use super::{EndpointId, PoolRuntime};

/// The waits of one request in one pool. All of them together have one limit in time.
#[derive(Debug)]
pub struct Queue<'a> {
    runtime: &'a PoolRuntime,
    worker: usize,
    /// `None` = no limit.
    deadline: Option<Instant>,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSlot {
    /// Nobody is up that could be waited for.
    Nobody,
    /// Too many wait already.
    Full,
    /// The time is over.
    TooLate,
}

impl<'a> Queue<'a> {
    /// A request of `worker` that may wait this long from now on; zero = no limit.
    #[must_use]
    pub fn new(runtime: &'a PoolRuntime, worker: usize, limit: Duration) -> Self {
        let deadline = (!limit.is_zero()).then(|| Instant::now() + limit);
        Self { runtime, worker, deadline }
    }

    /// Asks for a slot.
    #[must_use]
    pub fn enter(&self, wish: Wish<EndpointId>, room: Room) -> Entry<EndpointId> {
        self.runtime.gate.enter(wish, room)
    }

    /// Waits until there is one.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn slot(&self, entry: Entry<EndpointId>) -> Result<Held<EndpointId>, NoSlot> {
        let ticket = match entry {
            Entry::Granted(held) => return Ok(held),
            Entry::Waiting(ticket) => ticket,
            Entry::Full => return Err(NoSlot::Full),
            Entry::Unavailable => return Err(NoSlot::Nobody),
        };
        let _counted = Counted::new(self);
        match self.deadline {
            Some(deadline) => timeout_at(deadline, ticket).await.map_err(|_| NoSlot::TooLate),
            None => Ok(ticket.await),
        }
    }
}

/// Counts a wait when it ends, however it does.
struct Counted<'a> {
    queue: &'a Queue<'a>,
    began: Instant,
}

impl<'a> Counted<'a> {
    fn new(queue: &'a Queue<'a>) -> Self {
        queue.runtime.shards.of(queue.worker).queued.increment();
        Self { queue, began: Instant::now() }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Queue { runtime, worker, .. } = self.queue;
        runtime.shards.of(*worker).queue_wait.observe(self.began.elapsed());
    }
}
