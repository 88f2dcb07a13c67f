//! What a client connection is doing and since when, in the worker's coarse seconds.
//!
//! The worker's sweep reads this each second. That costs a request nothing, where a timer would have to be
//! armed and dropped for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::limits::Limits;

/// Seconds that a connection has for its next request when the proxy closes. The answer to it then says `close`, which
/// a client in steady use hears before it could send into a connection that is gone.
const GRACE_SECONDS: u32 = 1;

/// State of one connection; the stream and the requests write it, the sweep reads it.
#[derive(Debug)]
pub struct Activity {
    clock: Arc<AtomicU32>,
    phase: AtomicU8,
    since: AtomicU32,
    /// Requests that are being answered; HTTP/2 has many at a time.
    running: AtomicU32,
    /// When a header block of HTTP/2 began that is not complete; [`NEVER`] if none is.
    block: AtomicU32,
    /// When a write began to wait; [`NEVER`] if none does.
    stalled: AtomicU32,
    has_length: AtomicBool,
}

/// Nothing came yet.
const NEW: u8 = 0;
const IDLE: u8 = 1;
const HEAD: u8 = 2;
const BUSY: u8 = 3;

const NEVER: u32 = u32::MAX;

impl Activity {
    /// A connection that begins now.
    #[must_use]
    pub fn new(clock: Arc<AtomicU32>) -> Self {
        let since = AtomicU32::new(clock.load(Relaxed));
        Self {
            clock,
            phase: AtomicU8::new(NEW),
            since,
            running: AtomicU32::new(0),
            block: AtomicU32::new(NEVER),
            stalled: AtomicU32::new(NEVER),
            has_length: AtomicBool::new(false),
        }
    }

    /// The second that it is.
    pub fn now(&self) -> u32 {
        self.clock.load(Relaxed)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Relaxed);
        self.since.store(self.now(), Relaxed);
    }

    /// Bytes of a head came in; true if they are its first.
    pub fn head_begins(&self) -> bool {
        let first = self.phase.load(Relaxed) < HEAD;
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

    /// The connection speaks HTTP/2 from now on, and may be silent between requests from its beginning.
    pub fn opened(&self) {
        self.enter(IDLE);
    }

    /// A header block of HTTP/2 came in as far as it is, complete or not.
    pub fn set_block_is_open(&self, is_open: bool) {
        let since = if is_open { self.now().min(self.block.load(Relaxed)) } else { NEVER };
        self.block.store(since, Relaxed);
    }

    /// A request is being answered.
    pub fn busy(&self) {
        self.running.store(self.running.load(Relaxed) + 1, Relaxed);
        self.phase.store(BUSY, Relaxed);
    }

    /// A request was answered. With the last of them the connection is idle.
    pub fn idle(&self) {
        let others = self.running.load(Relaxed).saturating_sub(1);
        self.running.store(others, Relaxed);
        if others == 0 {
            self.enter(IDLE);
        }
    }

    /// Whether a request is being answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.phase.load(Relaxed) == BUSY
    }

    /// The client took bytes.
    pub fn wrote(&self) {
        self.stalled.store(NEVER, Relaxed);
        if self.phase.load(Relaxed) == IDLE {
            // The tail of a response, which hyper holds after the request is accounted for.
            self.enter(IDLE);
        }
    }

    /// The client takes no more bytes for now.
    pub fn write_waits(&self) {
        if self.stalled.load(Relaxed) == NEVER {
            self.stalled.store(self.now(), Relaxed);
        }
    }

    /// Whether the connection was silent for too long.
    #[must_use]
    pub fn is_overdue(&self, limits: &Limits) -> bool {
        let (stalled, block) = (self.stalled.load(Relaxed), self.block.load(Relaxed));
        (stalled != NEVER && self.passed(stalled, limits.send_timeout))
            || (block != NEVER && self.passed(block, limits.header_timeout))
            || match self.phase.load(Relaxed) {
                NEW | IDLE => self.passed(self.since.load(Relaxed), limits.idle_timeout),
                HEAD => self.passed(self.since.load(Relaxed), limits.header_timeout),
                _ => false,
            }
    }

    /// Whether a limit has passed, in whole seconds; zero = none.
    fn passed(&self, since: u32, limit: Duration) -> bool {
        !limit.is_zero() && Duration::from_secs(self.now().saturating_sub(since).into()) > limit
    }

    /// Whether closing the connection now might cost a client its next request, which may be under way, or here in part.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let age = self.now().saturating_sub(self.since.load(Relaxed));
        self.phase.load(Relaxed) < BUSY && age <= GRACE_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        clock: Arc<AtomicU32>,
        activity: Activity,
    }

    fn fixture() -> Fixture {
        let clock = Arc::new(AtomicU32::new(100));
        Fixture { activity: Activity::new(clock.clone()), clock }
    }

    impl Fixture {
        fn overdue_at(&self, second: u32) -> bool {
            self.clock.store(second, Relaxed);
            self.activity.is_overdue(&Limits::default())
        }
    }

    #[test]
    fn r7_an_idle_connection_is_bounded() {
        let f = fixture();
        assert!(!f.overdue_at(175) && f.overdue_at(176));
    }

    #[test]
    fn r7_a_slow_head_is_bounded_and_each_byte_buys_no_more_time() {
        let f = fixture();
        assert!(f.activity.head_begins());
        f.clock.store(110, Relaxed);
        assert!(!f.activity.head_begins());
        assert!(!f.overdue_at(130) && f.overdue_at(131));
        f.activity.busy();
        assert!(!f.overdue_at(100_000), "a running request has its own limits");
    }

    #[test]
    fn r7_a_client_that_stops_reading_is_bounded_and_one_that_reads_slowly_is_not() {
        let f = fixture();
        f.activity.busy();
        f.activity.write_waits();
        f.clock.store(150, Relaxed);
        f.activity.write_waits();
        assert!(!f.overdue_at(160) && f.overdue_at(161));
        f.activity.wrote();
        assert!(!f.overdue_at(161));
        f.activity.idle();
        f.clock.store(200, Relaxed);
        f.activity.wrote();
        assert!(!f.overdue_at(270), "the tail of a response still moves");
    }

    #[test]
    fn requests_side_by_side_keep_a_connection_busy_until_the_last_ends() {
        let f = fixture();
        f.activity.busy();
        f.activity.busy();
        f.activity.idle();
        assert!(f.activity.is_busy() && !f.overdue_at(100_000));
        f.activity.idle();
        assert!(!f.activity.is_busy() && !f.overdue_at(100_075) && f.overdue_at(100_076));
    }

    #[test]
    fn r7_a_slow_header_block_of_http2_is_bounded_beside_running_requests() {
        let f = fixture();
        f.activity.busy();
        f.activity.set_block_is_open(true);
        f.clock.store(110, Relaxed);
        f.activity.set_block_is_open(true);
        assert!(!f.overdue_at(130) && f.overdue_at(131));
        f.activity.set_block_is_open(false);
        assert!(!f.overdue_at(131));
    }

    #[test]
    fn a_connection_has_a_moment_for_its_next_request() {
        let f = fixture();
        assert!(f.activity.is_fresh());
        f.clock.store(102, Relaxed);
        assert!(!f.activity.is_fresh());
        f.activity.busy();
        assert!(!f.activity.is_fresh());
        f.activity.idle();
        assert!(f.activity.is_fresh());
        f.clock.store(104, Relaxed);
        assert!(!f.activity.is_fresh());
        assert!(f.activity.head_begins() && f.activity.is_fresh(), "hyper drops a head of which it has only a part");
        f.clock.store(106, Relaxed);
        assert!(!f.activity.is_fresh());
    }
}
