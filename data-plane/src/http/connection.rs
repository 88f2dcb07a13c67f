//! A client's connection: what its requests share, and how long it may be silent.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::Waker;

use super::headers::Downstream;
use crate::listener::numbers::ConnectionNumber;
use crate::stats::process::ListenerStats;
use crate::worker::Worker;

/// Seconds that a connection may be open without a request on it.
const IDLE_SECONDS: u32 = 75;
/// Seconds from the first byte of a request head to its last.
const HEAD_SECONDS: u32 = 30;

/// One accepted connection.
#[derive(Debug)]
pub struct ClientConnection {
    /// The worker it lives on.
    pub worker: Rc<Worker>,
    /// Index of its listener.
    pub listener: usize,
    /// The client.
    pub peer: SocketAddr,
    /// What its requests add to their headers.
    pub downstream: Downstream,
    /// Its number, for `Rotate`.
    pub number: ConnectionNumber,
    /// Shared with the stream, which sees the bytes come in.
    pub activity: Arc<Activity>,
    /// Wakes the connection's task when it is told to end.
    pub waker: OnceCell<Waker>,
    /// Its place in the worker's list.
    pub slot: Cell<usize>,
    order: Cell<Order>,
}

/// What a connection's task is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Nothing.
    #[default]
    Serve,
    /// Finish the request that runs, then close.
    Finish,
    /// Close now.
    Abort,
}

impl ClientConnection {
    /// A connection just accepted.
    #[must_use]
    pub fn new(worker: Rc<Worker>, listener: usize, peer: SocketAddr) -> Self {
        Self {
            downstream: Downstream::new(peer.ip(), false),
            number: worker.shared.numbers.take(),
            activity: Arc::new(Activity::new(worker.clock.clone())),
            worker,
            listener,
            peer,
            waker: OnceCell::new(),
            slot: Cell::new(0),
            order: Cell::default(),
        }
    }

    /// Counters of its listener.
    #[must_use]
    pub fn listener_stats(&self) -> &ListenerStats {
        &self.worker.shared.stats.listeners[self.listener]
    }

    /// Name of its listener.
    #[must_use]
    pub fn listener_name(&self) -> &str {
        &self.listener_stats().name
    }

    /// What the task is told.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order.get()
    }

    /// Tells the connection's task.
    pub fn tell(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Aborts the connection if it was silent for too long; called every second.
    pub fn check_silence(&self) {
        if self.activity.is_overdue() {
            self.tell(Order::Abort);
        }
    }
}

/// What a connection is doing and since when, in the worker's coarse seconds. A sweep reads this each
/// second, which costs a request nothing, where a timer would have to be armed and dropped for each.
#[derive(Debug)]
pub struct Activity {
    clock: Arc<AtomicU32>,
    phase: AtomicU8,
    since: AtomicU32,
    has_length: AtomicBool,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

impl Activity {
    fn new(clock: Arc<AtomicU32>) -> Self {
        let since = AtomicU32::new(clock.load(Relaxed));
        Self { clock, phase: AtomicU8::new(IDLE), since, has_length: AtomicBool::new(false) }
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Relaxed);
        self.since.store(self.clock.load(Relaxed), Relaxed);
    }

    /// Bytes of a head came in; true if they are its first.
    pub fn head_begins(&self) -> bool {
        let first = self.phase.load(Relaxed) == IDLE;
        if first {
            self.enter(HEAD);
        }
        first
    }

    /// Says whether the head that comes in has a `Content-Length`, which hyper may have dropped.
    pub fn set_has_length(&self, has_length: bool) {
        self.has_length.store(has_length, Relaxed);
    }

    /// Whether the head that just came had a `Content-Length`; asked once per request.
    pub fn take_has_length(&self) -> bool {
        self.has_length.swap(false, Relaxed)
    }

    /// A request is being answered.
    pub fn busy(&self) {
        self.phase.store(BUSY, Relaxed);
    }

    /// The last request was answered.
    pub fn idle(&self) {
        self.enter(IDLE);
    }

    /// Whether a request is being answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.phase.load(Relaxed) == BUSY
    }

    fn is_overdue(&self) -> bool {
        let silent = self.clock.load(Relaxed).saturating_sub(self.since.load(Relaxed));
        match self.phase.load(Relaxed) {
            IDLE => silent > IDLE_SECONDS,
            HEAD => silent > HEAD_SECONDS,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_a_slow_head_and_an_idle_connection_are_bounded_but_a_running_request_is_not() {
        let clock = Arc::new(AtomicU32::new(100));
        let activity = Activity::new(clock.clone());
        let overdue_at = |second: u32| {
            clock.store(second, Relaxed);
            activity.is_overdue()
        };
        assert!(!overdue_at(175) && overdue_at(176));
        clock.store(100, Relaxed);
        assert!(activity.head_begins());
        clock.store(110, Relaxed);
        assert!(!activity.head_begins());
        assert!(!overdue_at(130) && overdue_at(131), "each byte does not buy more time");
        activity.busy();
        assert!(!overdue_at(100_000));
    }
}
