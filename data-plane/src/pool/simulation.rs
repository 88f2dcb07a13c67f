//! Ten thousand random stories of a gate, each step beside a model that is as plain as what is promised.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::admission::{Entry, Gate, Held, Open, Room, Slots, Ticket, Wish};

const STORIES: u64 = 10_000;
const STEPS: usize = 60;
const ENDPOINTS: usize = 3;

/// What is promised: who waits longest gets the first endpoint with room that it wants, at once.
#[derive(Default)]
struct Model {
    in_use: [u32; ENDPOINTS],
    capacity: [u32; ENDPOINTS],
    /// Endpoints, and whether they go to who wants no other only.
    open: Vec<(usize, bool)>,
    /// By number.
    waiting: BTreeMap<u64, Wish<usize>>,
    granted: BTreeMap<u64, usize>,
}

impl Model {
    fn has_room(&self, endpoint: usize) -> bool {
        self.capacity[endpoint] == 0 || self.in_use[endpoint] < self.capacity[endpoint]
    }

    fn accepted(&self, wish: &Wish<usize>) -> Vec<usize> {
        let only = wish.only.filter(|only| self.open.iter().any(|(endpoint, _)| endpoint == only));
        let accepts = |(endpoint, by_name): &&(usize, bool)| match only {
            Some(only) => *endpoint == only,
            None => !by_name && !wish.but.contains(endpoint),
        };
        self.open.iter().filter(accepts).map(|(endpoint, _)| *endpoint).collect()
    }

    fn serve(&mut self) {
        for (number, wish) in self.waiting.clone() {
            if let Some(endpoint) = self.accepted(&wish).into_iter().find(|endpoint| self.has_room(*endpoint)) {
                self.waiting.remove(&number);
                self.granted.insert(number, endpoint);
                self.in_use[endpoint] += 1;
            }
        }
    }

    fn enter(&mut self, number: u64, wish: Wish<usize>, room: Room) -> &'static str {
        if self.accepted(&wish).is_empty() && !room.for_recovery {
            self.serve();
            return "unavailable";
        }
        let before = self.waiting.len();
        self.waiting.insert(number, wish);
        self.serve();
        if self.granted.contains_key(&number) {
            "granted"
        } else if before < room.limit {
            "waiting"
        } else {
            self.waiting.remove(&number);
            "full"
        }
    }

    fn release(&mut self, endpoint: usize) {
        self.in_use[endpoint] -= 1;
        self.serve();
    }

    fn leave(&mut self, number: u64) {
        self.waiting.remove(&number);
        if let Some(endpoint) = self.granted.remove(&number) {
            self.release(endpoint);
        }
    }
}

#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Someone who waits.
struct Client {
    number: u64,
    ticket: Ticket<usize>,
    alarm: Arc<Alarm>,
    /// Whether it went to sleep.
    asleep: bool,
}

struct Story {
    rng: SmallRng,
    gate: Arc<Gate<usize>>,
    slots: [Arc<Slots>; ENDPOINTS],
    model: Model,
    numbers: u64,
    waiting: Vec<Client>,
    held: Vec<(u64, Held<usize>)>,
    /// Slots taken without waiting.
    taken: Vec<usize>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut story = Self {
            rng: SmallRng::seed_from_u64(seed),
            gate: Arc::default(),
            slots: Default::default(),
            model: Model::default(),
            numbers: 0,
            waiting: Vec::new(),
            held: Vec::new(),
            taken: Vec::new(),
        };
        story.reconfigure();
        story
    }

    fn endpoint(&mut self) -> usize {
        self.rng.random_range(0..ENDPOINTS)
    }

    fn wish(&mut self) -> Wish<usize> {
        let only = self.rng.random_bool(0.2).then(|| self.endpoint());
        let but = (0..ENDPOINTS).filter(|_| self.rng.random_bool(0.2)).collect();
        Wish { only, but }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0 => self.reconfigure(),
            1 | 2 => self.take(),
            3 | 4 => self.enter(),
            5 | 6 => self.release(),
            7 => self.wait_on(),
            8 => self.leave(),
            _ => self.look(),
        }
        for (slots, in_use) in self.slots.iter().zip(self.model.in_use) {
            assert_eq!(slots.current(), in_use);
        }
    }

    /// Capacities change, and who is up.
    fn reconfigure(&mut self) {
        let mut open = Vec::new();
        for endpoint in 0..ENDPOINTS {
            let capacity = self.rng.random_range(0..4);
            self.model.capacity[endpoint] = capacity;
            self.slots[endpoint].set_capacity(capacity);
            if self.rng.random_bool(0.7) {
                open.push((endpoint, self.rng.random_bool(0.2)));
            }
        }
        self.model.open.clone_from(&open);
        let opened = |(key, by_name): (usize, bool)| Open { key, slots: self.slots[key].clone(), by_name };
        self.gate.open(open.into_iter().map(opened).collect(), || ());
        self.model.serve();
    }

    fn take(&mut self) {
        let endpoint = self.endpoint();
        let directed = self.rng.random_bool(0.2);
        if directed {
            self.slots[endpoint].enter();
        } else {
            assert_eq!(self.gate.try_take(&self.slots[endpoint]), self.model.has_room(endpoint));
        }
        if directed || self.model.has_room(endpoint) {
            self.model.in_use[endpoint] += 1;
            self.taken.push(endpoint);
        }
    }

    fn enter(&mut self) {
        let room = Room { limit: self.rng.random_range(0..4), for_recovery: self.rng.random_bool(0.3) };
        let wish = self.wish();
        self.numbers += 1;
        let entry = self.gate.enter(wish.clone(), room);
        let expected = self.model.enter(self.numbers, wish, room);
        self.note(self.numbers, entry, expected);
    }

    fn wait_on(&mut self) {
        let Some((number, held)) = self.held.pop() else { return };
        let (wish, for_recovery) = (self.wish(), self.rng.random_bool(0.3));
        self.model.in_use[held.key()] -= 1;
        let entry = held.wait_on(wish.clone(), for_recovery);
        let expected = self.model.enter(number, wish, Room { limit: usize::MAX, for_recovery });
        self.note(number, entry, expected);
    }

    fn note(&mut self, number: u64, entry: Entry<usize>, expected: &str) {
        let got = match entry {
            Entry::Granted(held) => {
                assert_eq!(self.model.granted.remove(&number), Some(held.key()));
                self.held.push((number, held));
                "granted"
            }
            Entry::Waiting(ticket) => {
                self.waiting.push(Client { number, ticket, alarm: Arc::default(), asleep: false });
                "waiting"
            }
            Entry::Full => "full",
            Entry::Unavailable => "unavailable",
        };
        assert_eq!(got, expected);
    }

    fn release(&mut self) {
        if self.rng.random_bool(0.5) && !self.taken.is_empty() {
            let endpoint = self.taken.swap_remove(self.rng.random_range(0..self.taken.len()));
            self.gate.release(&self.slots[endpoint]);
            self.model.release(endpoint);
        } else if !self.held.is_empty() {
            let (_, held) = self.held.swap_remove(self.rng.random_range(0..self.held.len()));
            let endpoint = held.key();
            drop(held);
            self.model.release(endpoint);
        }
    }

    /// A client goes, whether it has been given a slot or not.
    fn leave(&mut self) {
        if !self.waiting.is_empty() {
            let client = self.waiting.swap_remove(self.rng.random_range(0..self.waiting.len()));
            drop(client.ticket);
            self.model.leave(client.number);
        }
    }

    /// A client looks whether it has a slot.
    fn look(&mut self) {
        if !self.waiting.is_empty() {
            let index = self.rng.random_range(0..self.waiting.len());
            self.poll(index);
        }
    }

    fn poll(&mut self, index: usize) {
        let client = &mut self.waiting[index];
        let granted = self.model.granted.remove(&client.number);
        assert!(granted.is_none() || !client.asleep || client.alarm.0.load(SeqCst), "nobody woke it");
        let waker = Waker::from(client.alarm.clone());
        match Pin::new(&mut client.ticket).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(held) => {
                assert_eq!(Some(held.key()), granted);
                let number = self.waiting.swap_remove(index).number;
                self.held.push((number, held));
            }
            Poll::Pending => {
                assert_eq!(granted, None, "it was given a slot");
                client.asleep = true;
            }
        }
    }

    /// Everybody looks, and everything is given back.
    fn end(mut self) {
        (0..self.waiting.len()).rev().for_each(|index| self.poll(index));
        self.waiting.clear();
        self.held.clear();
        self.taken.iter().for_each(|endpoint| self.gate.release(&self.slots[*endpoint]));
        assert!(self.slots.iter().all(|slots| slots.current() == 0));
    }
}

#[test]
fn r5_ten_thousand_random_stories_end_as_promised() {
    for seed in 0..STORIES {
        let mut story = Story::new(seed);
        (0..STEPS).for_each(|_| story.step());
        story.end();
    }
}
