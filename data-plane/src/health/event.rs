//! Transitions of endpoints as events: a log line, a metric, and a report to the control plane.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;
use tracing::{info, warn};
use weir_proto::model::ResourceName;

use crate::pool::Endpoint;

/// An endpoint came up or went down.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Its pool.
    pub pool: ResourceName,
    /// Which endpoint.
    pub endpoint: Arc<Endpoint>,
    /// True if it came up.
    pub up: bool,
    /// Why, for people.
    pub reason: &'static str,
}

/// Takes transitions from any thread.
#[derive(Debug, Clone)]
pub struct TransitionSink(mpsc::UnboundedSender<Transition>);

impl TransitionSink {
    /// A sink, and where its transitions arrive. Unbounded, as a transition is rare and must not be lost.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Transition>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Logs, counts and passes on one transition.
    pub fn publish(&self, transition: Transition) {
        let Transition { pool, endpoint, up, reason } = &transition;
        let (backend, address) = (endpoint.backend.name(), &endpoint.address);
        if *up {
            endpoint.transitions.up.fetch_add(1, Relaxed);
            info!(%pool, backend, %address, reason, "endpoint is up");
        } else {
            endpoint.transitions.down.fetch_add(1, Relaxed);
            warn!(%pool, backend, %address, reason, "endpoint is down");
        }
        // The receiver is gone only while the process ends.
        let _ = self.0.send(transition);
    }
}
