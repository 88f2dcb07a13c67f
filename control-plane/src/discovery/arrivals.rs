//! Proxies that arrive are taken in a few at a time. One that lists 20,000 resources, or is sent as many, needs some
//! 5 MiB until it has them: a thousand at once, as when their replica has died, would need 2 GiB. Whoever waits is not
//! read from, so that flow control keeps its list where it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// At a time. It is the processor that the others wait for.
const AT_A_TIME: usize = 16;

/// A proxy that is so slow does not keep the others waiting for longer.
const WITHIN: Duration = Duration::from_secs(2);

/// Where proxies wait for their turn.
#[derive(Debug, Clone)]
pub struct Arrivals(Arc<Semaphore>);

impl Default for Arrivals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Arrivals {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        // Nobody closes it, so that there is a permit in the end.
        let permit = self.0.clone().acquire_owned().await.ok();
        Turn { permit, until: Instant::now() + WITHIN }
    }
}

/// The turn of one proxy; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    until: Instant,
}

impl Turn {
    /// The proxy has arrived.
    pub(super) fn end(&mut self) {
        self.permit = None;
    }

    /// Waits until the turn has lasted long enough; for ever once it is over.
    pub(super) async fn overdue(&self) {
        match self.permit {
            Some(_) => sleep_until(self.until).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_a_turn_until_one_is_over_or_overdue() {
        let arrivals = Arrivals::default();
        let mut turns = Vec::new();
        for _ in 0..AT_A_TIME {
            turns.push(arrivals.turn().await);
        }
        let waiting = tokio::spawn(async move { arrivals.turn().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let start = Instant::now();
        turns[3].overdue().await;
        assert_eq!(start.elapsed(), WITHIN);
        turns[3].end();
        waiting.await.unwrap();
    }
}
