//! Bounds what a client of HTTP/2 may have us do for nothing.
//!
//! The library bounds what would take memory: streams, header lists and their pieces, resets of streams that have not
//! begun and of our own. What it does not bound takes time: frames that carry nothing (CVE-2019-9512, 9513, 9515, 9518)
//! and requests taken back at once (CVE-2023-44487). [`FrameWatch`] counts both as they are read. The rule for the first
//! is nginx's: overhead may be some times what it is the overhead of, and a good deal beside.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::client_io::Watch;
use super::fault::Fault;
use crate::http::activity::Activity;

/// Bytes of overhead for each byte that carries something.
const RATIO: u64 = 8;
/// Bytes of overhead beside that: 60,000 PINGs.
const FREE: u64 = 1 << 20;
/// And for each second of the connection: as many PINGs as nobody needs, so that a long life is no flood.
const FREE_PER_SECOND: u64 = 1 << 10;
/// So many requests may be taken back whatever their share is. As in Envoy.
const RESETS: u64 = 500;

const PREFACE: usize = 24;
const HEAD: usize = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Watches the frames of one client connection. Holds no heap.
#[derive(Debug)]
pub(super) struct FrameWatch {
    /// Bytes until the next frame.
    rest: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are here.
    held: usize,
    counts: Counts,
    began: u32,
    flood: Flood,
}

/// What a [`FrameWatch`] ended its connection for, if it did: the library passes errors of a stream on as text.
pub(super) type Flood = Rc<Cell<Option<Fault>>>;

#[derive(Debug, Default)]
struct Counts {
    overhead: u64,
    payload: u64,
    written: u64,
    /// Bytes among those written that only answer overhead.
    acknowledged: u64,
    requests: u64,
    resets: u64,
}

impl FrameWatch {
    /// For a connection that begins with its preface at this second of the worker's clock.
    pub(super) fn new(began: u32, flood: Flood) -> Self {
        Self { rest: PREFACE, head: [0; HEAD], held: 0, counts: Counts::default(), began, flood }
    }

    /// Whether a header block is here in part only, if the bytes say anything about that.
    fn observe(&mut self, mut bytes: &[u8]) -> Option<bool> {
        let mut block = None;
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.held).min(bytes.len());
            self.head[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held == HEAD {
                self.held = 0;
                block = self.counts.add(Head::read(self.head)).or(block);
                self.rest = Head::read(self.head).length;
            }
        }
        block
    }
}

impl Watch for FrameWatch {
    fn read(&mut self, activity: &Activity, bytes: &[u8]) -> io::Result<()> {
        if let Some(is_open) = self.observe(bytes) {
            activity.set_block_is_open(is_open);
        }
        let age = activity.now().saturating_sub(self.began);
        let Some(fault) = self.counts.judge(age) else { return Ok(()) };
        self.flood.set(Some(fault));
        Err(io::Error::other(fault))
    }

    fn wrote(&mut self, bytes: usize) {
        self.counts.written += bytes as u64;
    }
}

impl Counts {
    /// Whether a header block is open after this frame, if it is of one.
    fn add(&mut self, Head { length, kind, flags }: Head) -> Option<bool> {
        let (head, body) = (HEAD as u64, length as u64);
        match kind {
            Kind::Data => {
                self.payload += body;
                // The end of a stream is worth its frame.
                self.overhead += if length == 0 && flags & END_STREAM != 0 { 0 } else { head };
            }
            Kind::Headers | Kind::Continuation => {
                self.requests += u64::from(kind == Kind::Headers);
                self.payload += body;
                self.overhead += if length == 0 { head } else { 0 };
                return Some(flags & END_HEADERS == 0);
            }
            Kind::Reset => {
                self.resets += 1;
                self.overhead += head + body;
            }
            Kind::Acknowledged if flags & ACK == 0 => {
                self.acknowledged += head + body;
                self.overhead += head + body;
            }
            Kind::Acknowledged | Kind::Other => self.overhead += head + body,
        }
        None
    }

    fn judge(&self, age: u32) -> Option<Fault> {
        let payload = self.payload + self.written.saturating_sub(self.acknowledged);
        if self.overhead > FREE + FREE_PER_SECOND * u64::from(age) + RATIO * payload {
            Some(Fault::ControlFlood)
        } else {
            (self.resets > RESETS && self.resets * 2 > self.requests).then_some(Fault::ResetFlood)
        }
    }
}

/// The head of a frame (RFC 9113, 4.1).
struct Head {
    length: usize,
    kind: Kind,
    flags: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Headers,
    Continuation,
    Reset,
    /// PING and SETTINGS, which are answered.
    Acknowledged,
    Other,
}

impl Head {
    fn read([a, b, c, kind, flags, ..]: [u8; HEAD]) -> Self {
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::Reset,
            4 | 6 => Kind::Acknowledged,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        Self { length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c), kind, flags }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], body].concat()
    }

    struct Fixture {
        watch: FrameWatch,
        activity: Activity,
        clock: Arc<std::sync::atomic::AtomicU32>,
    }

    fn fixture() -> Fixture {
        let clock = Arc::default();
        let mut watch = FrameWatch::new(0, Flood::default());
        let activity = Activity::new(Arc::clone(&clock));
        watch.read(&activity, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        Fixture { watch, activity, clock }
    }

    impl Fixture {
        /// How many of these are taken, up to `most`, and what ends them.
        fn send(&mut self, bytes: &[u8], most: u32) -> (u32, Option<Fault>) {
            for sent in 0..most {
                if let Err(error) = self.watch.read(&self.activity, bytes) {
                    return (sent, error.get_ref().unwrap().downcast_ref().copied());
                }
            }
            (most, None)
        }
    }

    #[test]
    fn r7_frames_that_carry_nothing_are_bounded() {
        for (name, frame) in [
            ("PING", frame(6, 0, &[0; 8])),
            ("SETTINGS", frame(4, 0, &[])),
            ("PRIORITY", frame(2, 0, &[0; 5])),
            ("WINDOW_UPDATE", frame(8, 0, &[0; 4])),
            ("empty DATA", frame(0, 0, &[])),
            ("empty HEADERS", frame(1, END_HEADERS, &[])),
            ("unknown", frame(0x77, 0, &[1; 100])),
        ] {
            let (sent, fault) = fixture().send(&frame, 200_000);
            assert_eq!(fault, Some(Fault::ControlFlood), "{name}");
            assert!(u64::from(sent + 1) * frame.len() as u64 > FREE, "{name}: {sent}");
        }
    }

    #[test]
    fn answers_to_overhead_buy_no_more_of_it() {
        let mut f = fixture();
        let ping = frame(6, 0, &[0; 8]);
        let taken = (0..200_000).take_while(|_| {
            f.watch.wrote(17);
            f.watch.read(&f.activity, &ping).is_ok()
        });
        assert!(taken.count() < 70_000);
    }

    #[test]
    fn what_carries_something_is_free() {
        let mut f = fixture();
        assert_eq!(f.send(&frame(0, 0, &[0; 8]), 500_000), (500_000, None), "a stream of small messages");
        assert_eq!(f.send(&frame(1, 5, &[0x82; 20]), 500_000), (500_000, None), "requests");
        let mut f = fixture();
        for _ in 0..500_000 {
            f.watch.wrote(60);
            let updates = [frame(8, 0, &[0; 4]), frame(8, 0, &[0; 4])].concat();
            assert_eq!(f.send(&updates, 1).1, None, "a window update twice for each small message");
        }
    }

    #[test]
    fn a_long_life_is_no_flood() {
        let mut f = fixture();
        for second in 0..20_000 {
            f.clock.store(second, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(f.send(&frame(6, 0, &[0; 8]), 50), (50, None), "at second {second}");
        }
    }

    #[test]
    fn r7_rapid_reset_is_bounded_and_cancelling_is_not() {
        let (request, reset) = (frame(1, 5, &[0x82; 20]), frame(3, 0, &[0; 4]));
        let rapid = [request.clone(), reset.clone()].concat();
        assert_eq!(fixture().send(&rapid, 100_000), (500, Some(Fault::ResetFlood)));
        let some = [request.clone(), request.clone(), request, reset].concat();
        assert_eq!(fixture().send(&some, 100_000), (100_000, None));
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let all = [frame(1, 0, &[1; 30]), frame(9, END_HEADERS, &[2; 7]), frame(6, 0, &[3; 8]), frame(0, 1, b"hi")];
        let all = all.concat();
        for size in 1..all.len() {
            let mut watch = FrameWatch { rest: 0, ..FrameWatch::new(0, Flood::default()) };
            let blocks: Vec<bool> = all.chunks(size).filter_map(|chunk| watch.observe(chunk)).collect();
            assert_eq!(blocks.last(), Some(&false), "in pieces of {size}");
            let Counts { overhead, payload, requests, .. } = watch.counts;
            assert_eq!((overhead, payload, requests), (17 + 9, 30 + 7 + 2, 1), "in pieces of {size}");
        }
    }
}
