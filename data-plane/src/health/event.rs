//! Transitions of endpoints as events: a log line, a metric, and a report to the control plane.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::{info, warn};
use weir_proto::model::{EndpointAddress, ResourceName};

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

/// Transitions that are remembered for people.
const REMEMBERED: usize = 200;

/// A transition of the past.
#[derive(Debug, Clone)]
pub struct Noted {
    /// When it was.
    pub time: Timestamp,
    /// The endpoint's pool.
    pub pool: ResourceName,
    /// Its Backend.
    pub backend: ResourceName,
    /// Where it listens.
    pub address: EndpointAddress,
    /// True if it came up.
    pub up: bool,
    /// Why, for people.
    pub reason: &'static str,
}

/// The newest transitions; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TransitionLog(Arc<Mutex<VecDeque<Noted>>>);

impl TransitionLog {
    /// The newest, newest first.
    #[must_use]
    pub fn newest(&self) -> Vec<Noted> {
        self.0.lock().iter().rev().cloned().collect()
    }

    fn note(&self, transition: &Transition) {
        let Transition { pool, endpoint, up, reason } = transition;
        let (backend, address) = (endpoint.backend.clone(), endpoint.address.clone());
        let mut log = self.0.lock();
        if log.len() == REMEMBERED {
            log.pop_front();
        }
        log.push_back(Noted { time: Timestamp::now(), pool: pool.clone(), backend, address, up: *up, reason });
    }
}

/// Takes transitions from any thread.
#[derive(Debug, Clone)]
pub struct TransitionSink {
    sender: mpsc::UnboundedSender<Transition>,
    log: TransitionLog,
}

impl TransitionSink {
    /// A sink, and where its transitions arrive. Unbounded, as a transition is rare and must not be lost.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Transition>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, log: TransitionLog::default() }, receiver)
    }

    /// The newest of those that were published.
    #[must_use]
    pub fn log(&self) -> TransitionLog {
        self.log.clone()
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
        self.log.note(&transition);
        // The receiver is gone only while the process ends.
        let _ = self.sender.send(transition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::runtime::tests::members;

    #[test]
    fn h7_the_newest_transitions_are_remembered_and_no_more() {
        let (sink, _receiver) = TransitionSink::new();
        let endpoint = members(&[1]).remove(0).endpoint;
        for i in 0..=REMEMBERED {
            let pool = format!("a/p{i}").parse().unwrap();
            sink.publish(Transition { pool, endpoint: endpoint.clone(), up: i % 2 == 0, reason: "timeout" });
        }
        let newest = sink.log().newest();
        assert_eq!((newest.len(), newest[0].up, newest[1].up), (REMEMBERED, true, false));
        assert_eq!((newest[0].pool.name(), newest[REMEMBERED - 1].pool.name()), ("p200", "p1"));
    }
}
