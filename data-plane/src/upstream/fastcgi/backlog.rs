//! Requests that may wait for a process of the application while our own idle connections keep its processes busy.
//!
//! A process of php-fpm belongs to a connection until that closes, so a few processes may all belong to idle
//! connections, of another worker say, when a request makes a new one. Nobody accepts that. So, as long as a request on
//! a new connection has heard nothing, one connection that would be idle is closed for it.
//!
//! # Patience
//! Closing has a price: whoever would have used that connection next makes a new one, for which another would be closed,
//! and so on: under load no connection would ever be used twice. So while processes are not known to be short, a request
//! counts only when it has waited for [`PATIENCE`]: most are answered before. One that was not says that processes may
//! be short, and for [`SHORTAGE`] from then on new requests count at once.
//!
//! # Why it suffices
//! A closed connection sets a process free, which accepts who waits. Each unanswered request that counts asks for one:
//! as many are closed as have not heard anything yet, and when one is answered, what was closed for it is forgotten. So
//! whoever still waits has not been paid for, and the next connection that would be idle is closed.

use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::Context;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep, sleep};
use weir_proto::model::EndpointAddress;

/// A request that is answered sooner was not in need of a process: well above what a quick script takes, and little for
/// a person who waits.
const PATIENCE: Duration = Duration::from_millis(25);
/// So long processes count as short since a request last waited in vain. While they are, one request in this time has
/// to find out that they still are.
const SHORTAGE: Duration = Duration::from_secs(1);

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
pub struct Waiting {
    backlog: Arc<Backlog>,
    /// Until it counts; `None` = it does.
    patience: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    unanswered: usize,
    /// Connections that were closed for them.
    closed: usize,
    /// Until when processes are known to be short.
    short_until: Option<Instant>,
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
        let is_short = self.counts.lock().short_until.is_some_and(|end| Instant::now() < end);
        let patience = if is_short {
            self.count();
            None
        } else {
            Some(Box::pin(sleep(PATIENCE)))
        };
        Waiting { backlog: self.clone(), patience }
    }

    fn count(&self) {
        self.counts.lock().unanswered += 1;
        ROOM_WANTED.notify_waiters();
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

impl Waiting {
    /// To be called by the task that waits: wakes it when its patience ends, from when on the request counts.
    pub fn pass_time(&mut self, cx: &mut Context<'_>) {
        if self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_ready()) {
            self.patience = None;
            self.backlog.counts.lock().short_until = Some(Instant::now() + SHORTAGE);
            self.backlog.count();
        }
    }
}

impl Drop for Waiting {
    /// The request was answered, or gave up.
    fn drop(&mut self) {
        if self.patience.is_none() {
            let mut counts = self.backlog.counts.lock();
            counts.unanswered -= 1;
            counts.closed = counts.closed.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::task::Poll;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// One whose processes are short, and the request that found out.
    async fn short(address: &str) -> (Arc<Backlog>, Waiting) {
        let backlog = Backlog::of(&address.parse().unwrap());
        let mut first = backlog.wait();
        lose_patience(&mut first).await;
        (backlog, first)
    }

    async fn lose_patience(waiting: &mut Waiting) {
        poll_fn(|cx| {
            waiting.pass_time(cx);
            if waiting.patience.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn u5_one_idle_connection_is_closed_for_each_request_that_waits() {
        let (backlog, first) = short("unix:@one").await;
        let _second = backlog.wait();
        assert_eq!([(); 3].map(|()| backlog.takes_one()), [true, true, false]);
        drop(first);
        assert!(!backlog.takes_one());
        let _third = backlog.wait();
        assert!(backlog.takes_one());
    }

    #[tokio::test(start_paused = true)]
    async fn u5_no_idle_connection_is_closed_for_a_request_that_is_answered_soon() {
        let backlog = Backlog::of(&"unix:@patient".parse().unwrap());
        let (mut first, second) = (backlog.wait(), backlog.wait());
        assert!(!backlog.takes_one());
        drop(second);
        let began = Instant::now();
        lose_patience(&mut first).await;
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < 2 * PATIENCE);
        assert_eq!([(); 2].map(|()| backlog.takes_one()), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn u5_processes_count_as_short_for_a_time() {
        let (backlog, first) = short("unix:@memory").await;
        drop(first);
        sleep(SHORTAGE / 2).await;
        drop(backlog.wait());
        assert!(!backlog.takes_one(), "nobody waits");
        let _at_once = backlog.wait();
        assert!(backlog.takes_one());
        sleep(SHORTAGE).await;
        let _patient = backlog.wait();
        assert!(!backlog.takes_one());
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

    #[tokio::test(start_paused = true)]
    async fn u5_nobody_waits_beside_an_idle_connection_whatever_the_order() {
        let (backlog, first) = short("unix:@simulated").await;
        drop(first);
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
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
