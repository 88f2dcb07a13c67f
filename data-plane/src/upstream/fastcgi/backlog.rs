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

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Wakes whoever has idle connections. One for the process: all that happens is that they are looked at.
static ROOM_WANTED: Notify = Notify::const_new();

/// Ends when idle connections should be looked at. What happens after this call is not missed.
pub fn room_wanted() -> Notified<'static> {
    ROOM_WANTED.notified()
}

/// The requests to one endpoint that have not heard anything, over all workers.
#[derive(Debug, Default)]
pub struct Backlog(Mutex<Counts>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    unanswered: usize,
    /// Connections that were closed for them.
    closed: usize,
}

impl Backlog {
    /// A request on a new connection begins to wait.
    pub fn enter(&self) {
        self.0.lock().unanswered += 1;
        ROOM_WANTED.notify_waiters();
    }

    /// It was answered, or gave up.
    pub fn leave(&self) {
        let mut counts = self.0.lock();
        counts.unanswered -= 1;
        counts.closed = counts.closed.saturating_sub(1);
    }

    /// Whether to close a connection that is idle, or about to be. One that is told so must be closed.
    #[must_use]
    pub fn takes_one(&self) -> bool {
        let mut counts = self.0.lock();
        let wanted = counts.closed < counts.unanswered;
        counts.closed += usize::from(wanted);
        wanted
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn u5_one_idle_connection_is_closed_for_each_request_that_waits() {
        let backlog = Backlog::default();
        assert!(!backlog.takes_one());
        backlog.enter();
        backlog.enter();
        assert_eq!([(); 3].map(|()| backlog.takes_one()), [true, true, false]);
        backlog.leave();
        assert!(!backlog.takes_one());
        backlog.enter();
        assert!(backlog.takes_one());
    }

    /// An application with a few processes, each of which belongs to a connection until that closes.
    #[derive(Default)]
    struct Application {
        free: usize,
        /// Accepted, not yet answered.
        asked: usize,
        /// Accepted and answered, with a request.
        busy: usize,
        /// Idle connections of ours.
        idle: usize,
        /// In the queue of the system.
        queue: usize,
    }

    impl Application {
        fn accept(&mut self) {
            let accepted = self.free.min(self.queue);
            (self.free, self.queue, self.asked) = (self.free - accepted, self.queue - accepted, self.asked + accepted);
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
            let (backlog, mut app) = (Backlog::default(), Application { free: 3, ..Application::default() });
            for _ in 0..300 {
                match rng.random_range(0..3) {
                    0 => {
                        // Another worker's idle connections are out of reach.
                        backlog.enter();
                        app.queue += 1;
                    }
                    1 if app.asked > 0 => {
                        backlog.leave();
                        (app.asked, app.busy) = (app.asked - 1, app.busy + 1);
                    }
                    2 if app.busy > 0 => (app.busy, app.idle) = (app.busy - 1, app.idle + 1),
                    _ => {}
                }
                app.accept();
                app.close_idle(&backlog);
                assert!(app.queue == 0 || app.idle == 0, "seed {seed}: {} wait", app.queue);
            }
        }
    }
}
