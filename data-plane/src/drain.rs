//! Leaving without a loss: what workers need to know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

/// The steps in which a proxy leaves; cheap to clone.
///
/// LIFECYCLE: serving, then *leaving* (still accepts, but each response closes its connection, while the
/// load balancer in front notices `/readyz`), then *closing* (accepts no more; connections close once they are idle
/// for a second or two, running requests finish), then, if the deadline passes, *aborting* (whatever still runs is cut off).
#[derive(Debug, Clone, Default)]
pub struct Drain {
    leaving: Arc<AtomicBool>,
    closing: CancellationToken,
    aborting: CancellationToken,
}

impl Drain {
    /// From now on responses carry `Connection: close`.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// From now on nothing new is accepted.
    pub fn close(&self) {
        self.leave();
        self.closing.cancel();
    }

    /// Ends everything now.
    pub fn abort(&self) {
        self.close();
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

    /// Waits until everything is to end.
    pub async fn aborting(&self) {
        self.aborting.cancelled().await;
    }

    /// Waits until nothing new is accepted.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }
}
