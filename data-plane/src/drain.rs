//! Leaving without a loss: what workers need to know of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The steps in which a proxy leaves; cheap to clone.
///
/// LIFECYCLE: serving, then *leaving* (still accepts, but each response closes its connection, while the
/// load balancer in front notices `/readyz`), then *closing* (accepts no more; running requests finish, idle connections
/// close one after the other, so that their clients do not all come back elsewhere at the same moment), then, if the
/// deadline passes, *aborting* (whatever still runs is cut off).
#[derive(Debug, Clone, Default)]
pub struct Drain {
    leaving: Arc<AtomicBool>,
    spread: Arc<OnceLock<Duration>>,
    closing: CancellationToken,
    aborting: CancellationToken,
}

impl Drain {
    /// From now on responses carry `Connection: close`.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// From now on nothing new is accepted, and idle connections close within this time.
    pub fn close(&self, within: Duration) {
        self.leave();
        // The first word counts.
        self.spread.get_or_init(|| within);
        self.closing.cancel();
    }

    /// Ends everything now.
    pub fn abort(&self) {
        self.close(Duration::ZERO);
        self.aborting.cancel();
    }

    /// Whether the proxy leaves.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
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
