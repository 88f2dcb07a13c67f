//! Brings ejected endpoints back when their time has come.
//!
//! Runs on the control thread; workers only send it a line per ejection.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_util::time::DelayQueue;

use crate::pool::{Endpoint, PoolRuntime};

/// An endpoint to look at when `until` has come.
#[derive(Debug)]
struct Ejection {
    pool: Weak<PoolRuntime>,
    endpoint: Weak<Endpoint>,
    until: Instant,
}

/// Where workers leave their ejections; cheap to clone.
#[derive(Debug, Clone)]
pub struct HealthClock(mpsc::UnboundedSender<Ejection>);

/// The task behind [`HealthClock`].
#[derive(Debug)]
pub struct HealthClockTask(mpsc::UnboundedReceiver<Ejection>);

impl HealthClock {
    /// A clock and its task, which someone must run.
    #[must_use]
    pub fn new() -> (Self, HealthClockTask) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), HealthClockTask(receiver))
    }

    /// Asks for a look at `endpoint` of `pool` at `until`.
    pub fn recover_at(&self, pool: &Arc<PoolRuntime>, endpoint: &Arc<Endpoint>, until: Instant) {
        let ejection = Ejection { pool: Arc::downgrade(pool), endpoint: Arc::downgrade(endpoint), until };
        // The task is gone only while the process ends.
        let _ = self.0.send(ejection);
    }
}

impl HealthClockTask {
    /// Waits and recovers, until all [`HealthClock`]s are gone.
    pub async fn run(mut self) {
        let mut waiting = DelayQueue::new();
        loop {
            tokio::select! {
                ejection = self.0.recv() => match ejection {
                    Some(ejection) => {
                        let until = ejection.until;
                        waiting.insert_at(ejection, until);
                    }
                    None => return,
                },
                Some(due) = waiting.next() => recover(&due.into_inner()),
            }
        }
    }
}

/// The pool or the endpoint may be gone by now: then there is nothing to bring back.
fn recover(ejection: &Ejection) {
    if let (Some(pool), Some(endpoint)) = (ejection.pool.upgrade(), ejection.endpoint.upgrade()) {
        pool.recover(&endpoint, Instant::now());
    }
}
