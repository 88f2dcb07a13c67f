//! Bytes both ways between two sides, until both are done or nothing moved for a time.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When something last moved in a tunnel.
#[derive(Debug)]
pub struct Movement(Cell<Instant>);

impl Default for Movement {
    fn default() -> Self {
        Self(Cell::new(Instant::now()))
    }
}

impl Movement {
    /// Something moves now.
    pub fn note(&self) {
        self.0.set(Instant::now());
    }

    /// Ends when nothing moved for `idle`; never if that is zero.
    async fn silence(&self, idle: Duration) {
        if idle.is_zero() {
            return pending().await;
        }
        while self.0.get().elapsed() < idle {
            sleep_until(self.0.get() + idle).await;
        }
    }
}

/// Why a tunnel ended before both of its directions.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken<E> {
    /// Nothing moved for too long.
    Silent,
    /// A direction failed.
    Failed(E),
}

/// Runs both directions to their ends. One may end long before the other: half-closed connections stay usable.
///
/// # Errors
/// If one fails, or nothing moved for `idle` (zero = for ever).
pub async fn join<E>(
    idle: Duration,
    movement: &Movement,
    there: impl Future<Output = Result<(), E>>,
    back: impl Future<Output = Result<(), E>>,
) -> Result<(), Broken<E>> {
    tokio::select! {
        ended = async { tokio::try_join!(there, back) } => ended.map(|_| ()).map_err(Broken::Failed),
        () = movement.silence(idle) => Err(Broken::Silent),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// A direction in which something moves so often, and then no more.
    async fn moves(movement: &Movement, times: u32, pause: Duration) -> Result<(), ()> {
        for _ in 0..times {
            sleep(pause).await;
            movement.note();
        }
        pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_when_nothing_moved_for_its_time_and_not_before() {
        let (movement, began) = (Movement::default(), Instant::now());
        let moving = moves(&movement, 3, IDLE - Duration::from_secs(1));
        assert_eq!(join(IDLE, &movement, moving, ready(Ok(()))).await, Err(Broken::Silent));
        assert_eq!(began.elapsed(), (IDLE - Duration::from_secs(1)) * 3 + IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_a_tunnel_may_be_silent() {
        let there = async {
            sleep(IDLE * 1_000).await;
            Err("gone")
        };
        let back = ready(Ok(()));
        assert_eq!(join(Duration::ZERO, &Movement::default(), there, back).await, Err(Broken::Failed("gone")));
    }
}
