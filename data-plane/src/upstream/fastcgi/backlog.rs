//! Requests that may wait for a process of the application while our own idle connections keep its processes busy.
//!
//! A process of php-fpm belongs to a connection until that closes, so a few processes may all belong to idle
//! connections, of another worker say, when a request makes a new one. Nobody accepts that. So, as long as a request on
//! a new connection has heard nothing, one connection that would be idle is closed for it.
//!
//! # Why it suffices
//! A closed connection sets a process free, which accepts who waits. Each unanswered request asks for one: as many are
//! closed as have not heard anything yet, and when one is answered, what was closed for it is forgotten. So whoever still
//! waits has not been paid for, and the next connection that would be idle is closed.

use std::sync::{Arc, LazyLock, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use weir_proto::model::EndpointAddress;

/// Wakes whoever has idle connections. One for the process: all that happens is that they are looked at.
static ROOM_WANTED: Notify = Notify::const_new();

/// Ends when idle connections should be looked at. What happens after this call is not missed.
pub fn room_wanted() -> Notified<'static> {
    ROOM_WANTED.notified()
}

/// Those of the process: pools with the same application have endpoints of their own, but its processes in common.
static ALL: LazyLock<Mutex<HashMap<EndpointAddress, Weak<Backlog>>>> = LazyLock::new(Mutex::default);

/// The requests to one application that have not heard anything, over all pools and workers.
#[derive(Debug)]
pub struct Backlog {
    address: EndpointAddress,
    counts: Mutex<Counts>,
}

/// A request on a new connection that has not heard anything. Waits until it is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Backlog>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    unanswered: usize,
    /// Connections that were closed for them.
    closed: usize,
}

impl Backlog {
    /// That of the application that listens there.
    #[must_use]
    pub fn of(address: &EndpointAddress) -> Arc<Self> {
        let mut all = ALL.lock();
        if let Some(backlog) = all.get(address).and_then(Weak::upgrade) {
            return backlog;
        }
        let backlog = Arc::new(Self { address: address.clone(), counts: Mutex::default() });
        all.insert(address.clone(), Arc::downgrade(&backlog));
        backlog
    }

    /// A request on a new connection begins to wait.
    #[must_use]
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.counts.lock().unanswered += 1;
        ROOM_WANTED.notify_waiters();
        Waiting(self.clone())
    }

    /// Whether to close a connection that is idle, or about to be. One that is told so must be closed.
    #[must_use]
    pub fn takes_one(&self) -> bool {
        let mut counts = self.counts.lock();
        let wanted = counts.closed < counts.unanswered;
        counts.closed += usize::from(wanted);
        wanted
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        let mut all = ALL.lock();
        // Another may be in its place by now.
        if all.get(&self.address).is_some_and(|backlog| backlog.strong_count() == 0) {
            all.remove(&self.address);
        }
    }
}

impl Drop for Waiting {
    /// The request was answered, or gave up.
    fn drop(&mut self) {
        let mut counts = self.0.counts.lock();
        counts.unanswered -= 1;
        counts.closed = counts.closed.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn u5_one_idle_connection_is_closed_for_each_request_that_waits() {
        let backlog = Backlog::of(&"unix:@one".parse().unwrap());
        assert!(!backlog.takes_one());
        let first = backlog.wait();
        let _second = backlog.wait();
        assert_eq!([(); 3].map(|()| backlog.takes_one()), [true, true, false]);
        drop(first);
        assert!(!backlog.takes_one());
        let _third = backlog.wait();
        assert!(backlog.takes_one());
    }

    #[test]
    fn u5_pools_with_the_same_application_have_one_backlog() {
        let of = |address: &str| Backlog::of(&address.parse().unwrap());
        let (a, b) = (of("unix:@same"), of("unix:@same"));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &of("unix:@other")));
        drop((a, b));
        assert!(!ALL.lock().contains_key(&"unix:@same".parse::<EndpointAddress>().unwrap()));
    }

    /// An application with a few processes, each of which belongs to a connection until that closes.
    #[derive(Default)]
    struct Application {
        free: usize,
        /// Accepted, not yet answered.
        asked: Vec<Waiting>,
        /// Accepted and answered, with a request.
        busy: usize,
        /// Idle connections of ours.
        idle: usize,
        /// In the queue of the system.
        queue: VecDeque<Waiting>,
    }

    impl Application {
        fn accept(&mut self) {
            let accepted = self.free.min(self.queue.len());
            self.free -= accepted;
            self.asked.extend(self.queue.drain(..accepted));
        }

        fn close_idle(&mut self, backlog: &Backlog) {
            while self.idle > 0 && backlog.takes_one() {
                (self.idle, self.free) = (self.idle - 1, self.free + 1);
            }
            self.accept();
        }
    }

    #[test]
    fn u5_nobody_waits_beside_an_idle_connection_whatever_the_order() {
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let backlog = Backlog::of(&"unix:@simulated".parse().unwrap());
            let mut app = Application { free: 3, ..Application::default() };
            for _ in 0..300 {
                match rng.random_range(0..3) {
                    // Another worker's idle connections are out of reach.
                    0 => app.queue.push_back(backlog.wait()),
                    1 if !app.asked.is_empty() => {
                        app.asked.swap_remove(rng.random_range(0..app.asked.len()));
                        app.busy += 1;
                    }
                    2 if app.busy > 0 => (app.busy, app.idle) = (app.busy - 1, app.idle + 1),
                    _ => {}
                }
                app.accept();
                app.close_idle(&backlog);
                assert!(app.queue.is_empty() || app.idle == 0, "seed {seed}: {} wait", app.queue.len());
            }
        }
    }
}
