//! Leaving without a loss: what workers need to know of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The steps in which a proxy leaves; cheap to clone.
///
/// LIFECYCLE: serving, then *leaving* (still accepts, while the load balancer in front notices `/readyz`), then *closing*
/// (accepts no more; running requests finish), then, if the deadline passes, *aborting* (whatever still runs is cut off).
/// Connections end one after the other, those in use with an answer when it is their turn, idle ones while it closes: if
/// all ended at once, their clients would come back elsewhere at the same moment.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    leaving: Arc<OnceLock<Leaving>>,
    spread: Arc<OnceLock<Duration>>,
    closing: CancellationToken,
    aborting: CancellationToken,
}

#[derive(Debug)]
struct Leaving {
    since: Instant,
    over: Duration,
}

impl Drain {
    /// From now on the proxy leaves: responses close their connections, each at its turn within this time.
    pub fn leave(&self, over: Duration) {
        // The first word counts.
        self.leaving.get_or_init(|| Leaving { since: Instant::now(), over });
    }

    /// From now on nothing new is accepted, and idle connections close within this time.
    pub fn close(&self, within: Duration) {
        self.leave(within);
        // The first word counts.
        self.spread.get_or_init(|| within);
        self.closing.cancel();
    }

    /// Ends everything now.
    pub fn abort(&self) {
        self.close(Duration::ZERO);
        self.aborting.cancel();
    }

    /// Whether it is the turn of the connection of this number to end. Turns are spread evenly however many connections
    /// there are, as multiples of the golden ratio are over the unit interval.
    #[must_use]
    pub fn is_turn_of(&self, number: usize) -> bool {
        self.leaving.get().is_some_and(|leaving| leaving.since.elapsed() >= leaving.over.mul_f64(turn(number)))
    }

    /// Whether nothing new is accepted.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// The time over which idle connections close.
    #[must_use]
    pub fn spread(&self) -> Duration {
        self.spread.get().copied().unwrap_or_default()
    }

    /// Waits until everything is to end.
    pub async fn aborting(&self) {
        self.aborting.cancelled().await;
    }

    /// Waits until nothing new is accepted.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }
}

/// When it is the turn of a number, from 0 to 1.
fn turn(number: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    #[expect(clippy::cast_precision_loss, reason = "exact far beyond the number of descriptors that a process has")]
    let number = number as f64;
    (number * GOLDEN).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r1_connections_in_use_end_one_after_the_other() {
        let (drain, over) = (Drain::default(), Duration::from_secs(10));
        let ended = || (0..1000).filter(|number| drain.is_turn_of(*number)).count();
        assert_eq!(ended(), 0);
        drain.leave(over);
        for tenth in 1..=10 {
            tokio::time::advance(over / 10).await;
            let expected = 100 * tenth;
            assert!(ended().abs_diff(expected) <= 5, "{} of {expected} at {tenth} tenths", ended());
        }
        assert_eq!(ended(), 1000);
    }
}
