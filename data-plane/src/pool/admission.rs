//! Admission: how many requests an endpoint has in flight, how many it may have, and who waits for a slot (A1-A3).
//!
//! [`Slots`] count for one endpoint, a [`Gate`] keeps the queue of one pool. Nothing here knows requests, time or tasks:
//! who waits has a [`Ticket`], which is a future; who is in has taken a slot, and gives it back to the gate.
//!
//! LIFECYCLE
//! ```text
//!           room                                        kept
//!   enter --------> Held -----------------------------------------> a slot in use -- release --> to the longest waiting
//!     |              ^  \__ wait_on: back to its old place                                       that wants it
//!     | no room      | a slot frees or opens
//!     v              |
//!   Ticket ----------+
//!     \__ dropped: gives up its place; a slot that it was given meanwhile is handed on
//! ```
//!
//! Slots are atomics, so that whoever need not wait takes one without the lock. Two things make that exact:
//!
//! - A slot is taken by one compare-and-swap that compares with the capacity, whoever takes it.
//! - Who begins to wait counts itself in `waiting` and looks for room after that; who gives back a slot frees it and looks
//!   at `waiting` after that. Both are sequentially consistent, so that at least one of them sees the other.
//!
//! As long as anyone waits, slots are taken under the lock only. There it is decided who is to have a slot before it is
//! taken, as it may become free at any moment: nobody overtakes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::sync::{AtomicU32, AtomicUsize, Mutex, Ordering::Relaxed, Ordering::SeqCst, in_one_order};

/// Requests in flight to one endpoint, over all workers, and how many may be.
#[derive(Debug)]
pub struct Slots {
    in_use: AtomicU32,
    max: AtomicU32,
    /// 0 = unlimited.
    capacity: AtomicU32,
}

impl Default for Slots {
    fn default() -> Self {
        Self { in_use: AtomicU32::new(0), max: AtomicU32::new(0), capacity: AtomicU32::new(0) }
    }
}

impl Slots {
    /// How many are in use.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.in_use.load(SeqCst)
    }

    /// The most there ever were.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// How many are free; `u32::MAX` if there is no limit.
    #[must_use]
    pub fn free(&self) -> u32 {
        match self.capacity.load(Relaxed) {
            0 => u32::MAX,
            capacity => capacity.saturating_sub(self.current()),
        }
    }

    /// Sets the limit; 0 = none. Those that wait learn of it by [`Gate::open`].
    pub fn set_capacity(&self, capacity: u32) {
        self.capacity.store(capacity, SeqCst);
    }

    /// Takes a slot, free or not.
    pub fn enter(&self) {
        let now = self.in_use.fetch_add(1, SeqCst) + 1;
        self.note(now);
    }

    /// Takes a free slot, if there is one.
    fn try_enter(&self) -> bool {
        let limit = |capacity| if capacity == 0 { u32::MAX } else { capacity };
        let more = |now: u32| (now < limit(self.capacity.load(SeqCst))).then(|| now + 1);
        match self.in_use.fetch_update(SeqCst, SeqCst, more) {
            Ok(before) => {
                self.note(before + 1);
                true
            }
            Err(_) => false,
        }
    }

    fn leave(&self) {
        self.in_use.fetch_sub(1, SeqCst);
    }

    fn note(&self, now: u32) {
        // A plain load first: the maximum is read often and rises seldom.
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
    }
}

/// An endpoint whose slots may be given to those that wait.
#[derive(Debug, Clone)]
pub struct Open<K> {
    /// Which one.
    pub key: K,
    /// Its slots.
    pub slots: Arc<Slots>,
    /// Whether only those get it that want no other.
    pub by_name: bool,
}

/// Whose slot someone wants.
#[derive(Debug, Clone)]
pub struct Wish<K> {
    /// That of this one, as long as it is open.
    pub only: Option<K>,
    /// Otherwise any but these.
    pub but: SmallVec<[K; 4]>,
}

impl<K: Copy + Eq> Wish<K> {
    /// Whether it accepts the slots of `one` of those that are open.
    fn accepts(&self, one: &Open<K>, open: &[Open<K>]) -> bool {
        match self.only.filter(|only| open.iter().any(|open| open.key == *only)) {
            Some(only) => one.key == only,
            None => !one.by_name && !self.but.contains(&one.key),
        }
    }
}

/// Whether there is a place for someone who has to wait.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// How many may wait.
    pub limit: usize,
    /// Whether waiting has a sense while nobody is open that could be waited for.
    pub for_recovery: bool,
}

/// What became of someone who wants a slot.
#[derive(Debug)]
pub enum Entry<K: Copy + Eq> {
    /// There was one.
    Granted(Held<K>),
    /// There is none yet.
    Waiting(Ticket<K>),
    /// There is none, and too many wait already.
    Full,
    /// Nobody is open whose slot is wanted.
    Unavailable,
}

/// What would become of someone who wants a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook<K> {
    /// The slot of this one.
    Granted(K),
    /// A place behind so many.
    Waiting(usize),
    /// As [`Entry::Full`].
    Full,
    /// As [`Entry::Unavailable`].
    Unavailable,
}

/// The queue of one pool.
#[derive(Debug)]
pub struct Gate<K> {
    /// Tickets that have no slot. Changed under the lock only.
    waiting: AtomicUsize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// In the order in which they are given away.
    open: Vec<Open<K>>,
    /// In the order of their numbers.
    queue: VecDeque<Place<K>>,
    next: u64,
    /// The most that ever waited.
    longest: usize,
}

/// A ticket's place in the queue.
#[derive(Debug)]
struct Place<K> {
    number: u64,
    wish: Wish<K>,
    waker: Option<Waker>,
    /// Given, and not taken yet.
    granted: Option<Open<K>>,
}

/// Those to be woken when the lock is released.
type Wakers = SmallVec<[Waker; 2]>;

impl<K> Default for Gate<K> {
    fn default() -> Self {
        let state = State { open: Vec::new(), queue: VecDeque::new(), next: 0, longest: 0 };
        Self { waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }
}

impl<K: Copy + Eq> Gate<K> {
    /// Takes a free slot of an endpoint that nobody waits for; false if there is none.
    pub fn try_take(&self, slots: &Slots) -> bool {
        if self.waiting.load(SeqCst) == 0 {
            return slots.try_enter();
        }
        self.changed(|state| {
            let wakers = self.serve(state, |open| std::ptr::eq(&*open.slots, slots));
            (!state.is_wanted(slots) && slots.try_enter(), wakers)
        })
    }

    /// Gives back a slot; the longest waiting that wants it has it at once.
    pub fn release(&self, slots: &Slots) {
        slots.leave();
        in_one_order();
        if self.waiting.load(SeqCst) > 0 {
            self.changed(|state| ((), self.serve(state, |open| std::ptr::eq(&*open.slots, slots))));
        }
    }

    /// Takes a slot, or a place in the queue.
    pub fn enter(self: &Arc<Self>, wish: Wish<K>, room: Room) -> Entry<K> {
        self.changed(|state| {
            state.next += 1;
            let number = state.next;
            self.queue_up(state, number, wish, room)
        })
    }

    /// What [`Gate::enter`] would come to; nothing changes.
    pub fn foresee(&self, wish: &Wish<K>, room: Room) -> Outlook<K> {
        let state = self.state.lock();
        let mut wanted = state.open.iter().filter(|one| wish.accepts(one, &state.open)).peekable();
        if !room.for_recovery && wanted.peek().is_none() {
            return Outlook::Unavailable;
        }
        // Nobody waits for a slot that is free: it would have been given away.
        if let Some(one) = wanted.find(|one| one.slots.free() > 0) {
            return Outlook::Granted(one.key);
        }
        match self.waiting.load(SeqCst) {
            before if before < room.limit => Outlook::Waiting(before),
            _ => Outlook::Full,
        }
    }

    /// How many wait, and the most that ever did.
    pub fn length(&self) -> (usize, usize) {
        let state = self.state.lock();
        (self.waiting.load(SeqCst), state.longest)
    }

    /// Says whose slots those that wait may have from now on. `publish` makes the change known to those that take slots by
    /// themselves: nobody of them can overtake.
    pub fn open(&self, open: Vec<Open<K>>, publish: impl FnOnce()) {
        self.changed(|state| {
            state.open = open;
            publish();
            ((), self.serve(state, |_| true))
        });
    }

    fn queue_up(self: &Arc<Self>, state: &mut State<K>, number: u64, wish: Wish<K>, room: Room) -> (Entry<K>, Wakers) {
        if !room.for_recovery && !state.open.iter().any(|one| wish.accepts(one, &state.open)) {
            return (Entry::Unavailable, self.serve(state, |_| true));
        }
        let place = state.queue.partition_point(|other| other.number < number);
        state.queue.insert(place, Place { number, wish, waker: None, granted: None });
        let before = self.waiting.fetch_add(1, SeqCst);
        in_one_order();
        let mut wakers = self.serve(state, |_| true);
        let entry = match state.take(number) {
            Some(slot) => Entry::Granted(Held::new(self.clone(), slot, number)),
            None if before < room.limit => {
                state.longest = state.longest.max(self.waiting.load(SeqCst));
                Entry::Waiting(Ticket { gate: Some(self.clone()), number })
            }
            None => {
                wakers.extend(self.forget(state, number));
                Entry::Full
            }
        };
        (entry, wakers)
    }

    /// Wakes after the lock is released: who wakes up wants it.
    fn changed<T>(&self, change: impl FnOnce(&mut State<K>) -> (T, Wakers)) -> T {
        let (result, wakers) = change(&mut self.state.lock());
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Gives the free slots of some endpoints away, each to the longest waiting that wants it.
    fn serve(&self, state: &mut State<K>, which: impl Fn(&Open<K>) -> bool) -> Wakers {
        let State { open, queue, .. } = state;
        let mut wakers = Wakers::new();
        for one in open.iter().filter(|one| which(one)) {
            while one.slots.free() > 0
                && let Some(heir) = heir(queue, one, open)
                && one.slots.try_enter()
            {
                heir.granted = Some(one.clone());
                self.waiting.fetch_sub(1, SeqCst);
                wakers.extend(heir.waker.take());
            }
        }
        wakers
    }

    /// A place is given up; a slot that was given to it is handed on.
    fn forget(&self, state: &mut State<K>, number: u64) -> Wakers {
        let Some(place) = state.find(number).and_then(|index| state.queue.remove(index)) else { return Wakers::new() };
        match place.granted {
            Some(slot) => {
                slot.slots.leave();
                self.serve(state, |open| open.key == slot.key)
            }
            None => {
                self.waiting.fetch_sub(1, SeqCst);
                Wakers::new()
            }
        }
    }
}

/// The longest waiting that wants a slot of `one` of those that are open.
fn heir<'q, K: Copy + Eq>(
    queue: &'q mut VecDeque<Place<K>>,
    one: &Open<K>,
    open: &[Open<K>],
) -> Option<&'q mut Place<K>> {
    queue.iter_mut().find(|place| place.granted.is_none() && place.wish.accepts(one, open))
}

impl<K: Copy + Eq> State<K> {
    fn find(&self, number: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&number, |place| place.number).ok()
    }

    /// Whether somebody waits for these slots.
    fn is_wanted(&mut self, slots: &Slots) -> bool {
        let Self { open, queue, .. } = self;
        let one = open.iter().find(|open| std::ptr::eq(&*open.slots, slots));
        one.is_some_and(|one| heir(queue, one, open).is_some())
    }

    /// The slot that was given to this number, which leaves the queue with it.
    fn take(&mut self, number: u64) -> Option<Open<K>> {
        let index = self.find(number)?;
        let slot = self.queue[index].granted.take()?;
        self.queue.remove(index);
        Some(slot)
    }
}

/// A place in the queue; gives it up when dropped. Completes with a slot.
#[derive(Debug)]
pub struct Ticket<K: Copy + Eq> {
    /// `None` when it has completed.
    gate: Option<Arc<Gate<K>>>,
    number: u64,
}

impl<K: Copy + Eq> Future for Ticket<K> {
    type Output = Held<K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Held<K>> {
        let number = self.number;
        let Some(gate) = self.gate.take() else { return Poll::Pending };
        let taken = {
            let mut state = gate.state.lock();
            let taken = state.take(number);
            if let (None, Some(index)) = (&taken, state.find(number)) {
                state.queue[index].waker = Some(cx.waker().clone());
            }
            taken
        };
        match taken {
            Some(slot) => Poll::Ready(Held::new(gate, slot, number)),
            None => {
                self.gate = Some(gate);
                Poll::Pending
            }
        }
    }
}

impl<K: Copy + Eq> Unpin for Ticket<K> {}

impl<K: Copy + Eq> Drop for Ticket<K> {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.changed(|state| ((), gate.forget(state, self.number)));
        }
    }
}

/// A slot, and the place in the queue that it was given to; gives it back when dropped.
#[derive(Debug)]
pub struct Held<K: Copy + Eq> {
    gate: Arc<Gate<K>>,
    key: K,
    /// `None` when it was passed on.
    slots: Option<Arc<Slots>>,
    number: u64,
}

impl<K: Copy + Eq> Held<K> {
    fn new(gate: Arc<Gate<K>>, slot: Open<K>, number: u64) -> Self {
        Self { gate, key: slot.key, slots: Some(slot.slots), number }
    }

    /// Whose it is.
    #[must_use]
    pub fn key(&self) -> K {
        self.key
    }

    /// The slot stays in use: someone else will give it back.
    pub fn keep(mut self) {
        self.slots = None;
    }

    /// Gives it back and waits for another one, at the old place.
    #[must_use]
    pub fn wait_on(mut self, wish: Wish<K>, for_recovery: bool) -> Entry<K> {
        let slots = self.slots.take();
        let room = Room { limit: usize::MAX, for_recovery };
        self.gate.changed(|state| {
            slots.iter().for_each(|slots| slots.leave());
            self.gate.queue_up(state, self.number, wish, room)
        })
    }
}

impl<K: Copy + Eq> Drop for Held<K> {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            self.gate.release(&slots);
        }
    }
}
