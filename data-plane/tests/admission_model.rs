//! Checks admission over all orders in which threads can run, within a bound: its source, compiled with the mutex and the
//! atomics of `loom`.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread;

#[path = "../src/pool/admission.rs"]
mod admission;

use admission::{Entry, Gate, Held, Open, Room, Slots, Ticket, Wish};

mod sync {
    pub use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// To loom, sequentially consistent operations acquire and release and no more; its fences are whole.
    pub fn in_one_order() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    /// With the interface of parking_lot's.
    #[derive(Debug)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

/// Switches between threads at places where nothing makes them.
const PREEMPTIONS: usize = 3;
const ROOM: Room = Room { limit: 10, for_recovery: false };

fn check(story: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(story);
}

/// One endpoint, and how many are really inside.
struct World {
    gate: Arc<Gate<u8>>,
    slots: Arc<Slots>,
    capacity: u32,
    inside: AtomicU32,
}

impl World {
    fn new(capacity: u32) -> Arc<Self> {
        let world = Self::closed(capacity);
        world.open();
        world
    }

    fn closed(capacity: u32) -> Arc<Self> {
        let slots = Arc::new(Slots::default());
        slots.set_capacity(capacity);
        Arc::new(Self { gate: Arc::default(), slots, capacity, inside: AtomicU32::new(0) })
    }

    fn open(&self) {
        self.gate.open(vec![Open { key: 0, slots: self.slots.clone(), by_name: false }], || ());
    }

    fn enter(&self, room: Room) -> Entry<u8> {
        self.gate.enter(Wish { only: None, but: [].into_iter().collect() }, room)
    }

    fn ticket(&self) -> Ticket<u8> {
        match self.enter(ROOM) {
            Entry::Waiting(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    /// Waits as long as it takes.
    fn slot(&self, room: Room) -> Held<u8> {
        match self.enter(room) {
            Entry::Granted(held) => held,
            Entry::Waiting(ticket) => loom::future::block_on(ticket),
            other => panic!("{other:?}"),
        }
    }

    /// Does what a request does while it has a slot.
    fn work(&self) {
        assert!(self.inside.fetch_add(1, SeqCst) < self.capacity, "one too many");
        self.inside.fetch_sub(1, SeqCst);
    }

    fn request(&self) {
        let slot = self.slot(ROOM);
        self.work();
        drop(slot);
    }
}

fn is_granted(ticket: &mut Ticket<u8>) -> bool {
    let waker = Waker::noop();
    matches!(std::pin::Pin::new(ticket).poll(&mut Context::from_waker(waker)), Poll::Ready(_))
}

#[test]
fn a1_never_one_more_than_the_capacity_whoever_comes_how() {
    check(|| {
        let world = World::new(1);
        let (a, b) = (world.clone(), world.clone());
        let waits = thread::spawn(move || a.request());
        let passes = thread::spawn(move || {
            if b.gate.try_take(&b.slots) {
                b.work();
                b.gate.release(&b.slots);
            }
        });
        world.request();
        waits.join().unwrap();
        passes.join().unwrap();
        assert_eq!((world.slots.current(), world.slots.max()), (0, 1));
    });
}

#[test]
fn a3_whoever_waits_is_woken_by_the_slot_that_frees() {
    check(|| {
        let world = World::new(1);
        assert!(world.gate.try_take(&world.slots));
        let (a, b) = (world.clone(), world.clone());
        let waits = thread::spawn(move || a.request());
        let waits_too = thread::spawn(move || b.request());
        world.gate.release(&world.slots);
        waits.join().unwrap();
        waits_too.join().unwrap();
        assert_eq!(world.slots.current(), 0);
    });
}

#[test]
fn a3_whoever_waits_is_woken_by_a_backend_that_comes_up() {
    check(|| {
        let world = World::closed(1);
        let opens = world.clone();
        let opens = thread::spawn(move || opens.open());
        drop(world.slot(Room { for_recovery: true, ..ROOM }));
        opens.join().unwrap();
        assert_eq!(world.slots.current(), 0);
    });
}

#[test]
fn a2_nobody_overtakes_whoever_waits() {
    check(|| {
        let world = World::new(1);
        assert!(world.gate.try_take(&world.slots));
        let mut ticket = world.ticket();
        let (a, b) = (world.clone(), world.clone());
        let frees = thread::spawn(move || a.gate.release(&a.slots));
        let comes = thread::spawn(move || {
            assert!(!b.gate.try_take(&b.slots));
            assert!(matches!(b.enter(Room { limit: 0, ..ROOM }), Entry::Full));
        });
        frees.join().unwrap();
        comes.join().unwrap();
        assert!(is_granted(&mut ticket));
    });
}

#[test]
fn a2_a_slot_for_someone_who_leaves_goes_to_the_next() {
    check(|| {
        let world = World::new(1);
        assert!(world.gate.try_take(&world.slots));
        let (first, mut second) = (world.ticket(), world.ticket());
        let frees = world.clone();
        let frees = thread::spawn(move || frees.gate.release(&frees.slots));
        let leaves = thread::spawn(move || drop(first));
        frees.join().unwrap();
        leaves.join().unwrap();
        assert!(is_granted(&mut second));
        assert_eq!(world.slots.current(), 0);
    });
}

#[test]
fn a2_who_does_not_want_its_slot_keeps_its_place() {
    check(|| {
        let world = World::new(1);
        let refused = world.slot(ROOM);
        let mut later = world.ticket();
        let comes = world.clone();
        let comes = thread::spawn(move || assert!(!comes.gate.try_take(&comes.slots)));
        let wish = Wish { only: None, but: [0].into_iter().collect() };
        let Entry::Waiting(mut earlier) = refused.wait_on(wish, true) else { panic!("there is no other") };
        comes.join().unwrap();
        assert!(!is_granted(&mut earlier) && is_granted(&mut later));
    });
}
