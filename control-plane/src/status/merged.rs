//! What all connected proxies say of each endpoint, put together.
//!
//! Endpoints are numbered. Of each there is one slot for all proxies, and of each proxy a set of the numbers it
//! has and a short entry for each endpoint of which there is more to say than that it is up: a thousand proxies
//! with fifteen thousand endpoints take a few MiB as long as most of them are up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use weir_proto::model::{EndpointAddress, Key, Kind, ResourceName};
use weir_proto::pb;

use super::health::{BackendHealth, EndpointHealth, EndpointState};

/// Reasons kept apart; they are a dozen short words. Any more than this are not shown.
const REASONS: usize = 64;

/// Transitions that nobody has asked for yet; more are forgotten.
const TRANSITIONS: usize = 1_000;

/// The number of an endpoint while any proxy has it.
type Id = u32;

/// What all connected proxies say.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    slots: Vec<Slot>,
    free: Vec<Id>,
    /// Sorted by address.
    backends: BTreeMap<ResourceName, Vec<Id>>,
    reasons: Reasons,
    changed: BTreeSet<ResourceName>,
    transitions: Vec<Transition>,
}

/// What one proxy says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// One bit for each endpoint it has.
    has: Vec<u64>,
    more: BTreeMap<Id, Telling>,
}

/// What one proxy says of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Telling {
    state: EndpointState,
    since_ms: u64,
    fails: u32,
    reason: Option<u8>,
    left: u32,
}

/// What all proxies say of an endpoint.
#[derive(Debug)]
struct Slot {
    backend: ResourceName,
    address: EndpointAddress,
    /// Proxies by what they say.
    counts: [u32; EndpointState::ALL.len()],
    fails: u64,
    left: u64,
    /// The newest one told.
    reason: Option<u8>,
    since_ms: u64,
}

/// An endpoint went down on a proxy and is up nowhere else any more, or came back everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its Backend.
    pub backend: Key,
    /// Its address.
    pub address: EndpointAddress,
    /// Up, or down.
    pub up: bool,
    /// Of the last failure.
    pub reason: String,
}

impl Merged {
    /// A proxy tells of its endpoints; a full report is all it has to say.
    pub(crate) fn hear(&mut self, told: &mut Told, report: pb::Report) {
        let pb::Report { full, endpoints } = report;
        if full {
            self.leave(told);
        }
        endpoints.into_iter().for_each(|endpoint| self.hear_one(told, endpoint));
    }

    /// A proxy is gone, and with it all it said.
    pub(crate) fn leave(&mut self, told: &mut Told) {
        let Told { has, more } = std::mem::take(told);
        for id in ids(&has) {
            self.withdraw(id, more.get(&id).copied());
        }
    }

    fn hear_one(&mut self, told: &mut Told, report: pb::EndpointReport) {
        let pb::EndpointReport { backend, address, state, since_ms, fails, last_failure, left } = report;
        let Some(Ok(Key { kind: Kind::Backend, name })) = backend.map(Key::try_from) else { return };
        let Ok(address) = address.parse() else { return };
        match EndpointState::of_wire(pb::EndpointState::try_from(state).unwrap_or_default()) {
            Some(state) => {
                let reason = self.reasons.number(&last_failure);
                let telling = Telling { state, since_ms, fails, reason, left };
                let id = self.id(name, address);
                self.tell(told, id, telling);
            }
            None => self.forget(told, &name, address),
        }
    }

    /// A proxy no longer has an endpoint.
    fn forget(&mut self, told: &mut Told, backend: &ResourceName, address: EndpointAddress) {
        let Ok(id) = self.find(backend, &address) else { return };
        if told.clear(id) {
            let telling = told.more.remove(&id);
            self.withdraw(id, telling);
        }
    }

    fn tell(&mut self, told: &mut Told, id: Id, telling: Telling) {
        let knew = told.has(id);
        let before = told.more.get(&id).copied();
        let slot = &mut self.slots[id as usize];
        let was = slot.state();
        if knew {
            slot.subtract(before);
        }
        slot.add(telling, was);
        let is = slot.state();
        if telling.is_plain() {
            told.more.remove(&id);
        } else {
            told.more.insert(id, telling);
        }
        told.set(id);
        self.changed.insert(slot.backend.clone());
        if knew {
            let is_first_pass = before.is_some_and(|before| before.was_unknown());
            if let Some(up) = turn(was, is).filter(|_| !is_first_pass) {
                self.note(id, up);
            }
        }
    }

    /// A transition.
    fn note(&mut self, id: Id, up: bool) {
        if self.transitions.len() < TRANSITIONS {
            let Slot { backend, address, reason, .. } = &self.slots[id as usize];
            let reason = self.reasons.text(*reason).unwrap_or_default().to_owned();
            self.transitions.push(Transition {
                backend: Key::backend(backend.clone()),
                address: address.clone(),
                up,
                reason,
            });
        }
    }

    fn withdraw(&mut self, id: Id, telling: Option<Telling>) {
        let slot = &mut self.slots[id as usize];
        let was = slot.state();
        slot.subtract(telling);
        self.changed.insert(slot.backend.clone());
        match slot.state() {
            None => self.release(id),
            is if is != was => slot.since_ms = now_ms(),
            Some(_) => {}
        }
    }

    /// The number of an endpoint, or its place among those of its Backend.
    fn find(&self, backend: &ResourceName, address: &EndpointAddress) -> Result<Id, usize> {
        let all = self.backends.get(backend).map_or(&[][..], Vec::as_slice);
        let place = all.binary_search_by_key(&address, |id| &self.slots[*id as usize].address);
        place.map(|place| all[place])
    }

    /// The number of an endpoint, which it gets if it has none.
    fn id(&mut self, backend: ResourceName, address: EndpointAddress) -> Id {
        let place = match self.find(&backend, &address) {
            Ok(id) => return id,
            Err(place) => place,
        };
        let slot = Slot {
            backend: backend.clone(),
            address,
            counts: [0; EndpointState::ALL.len()],
            fails: 0,
            left: 0,
            reason: None,
            since_ms: 0,
        };
        let id = self.free.pop().unwrap_or_else(|| self.slots.len().try_into().unwrap_or(Id::MAX));
        match self.slots.get_mut(id as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.backends.entry(backend).or_default().insert(place, id);
        id
    }

    fn release(&mut self, id: Id) {
        let Slot { backend, .. } = &self.slots[id as usize];
        if let Some(all) = self.backends.get_mut(backend) {
            all.retain(|other| *other != id);
            if all.is_empty() {
                self.backends.remove(backend);
            }
        }
        self.free.push(id);
    }

    /// The endpoints of a Backend, by address.
    pub(crate) fn of(&self, backend: &ResourceName) -> BackendHealth {
        let all = self.backends.get(backend).into_iter().flatten();
        BackendHealth::new(all.filter_map(|id| self.endpoint(*id)).collect())
    }

    fn endpoint(&self, id: Id) -> Option<EndpointHealth> {
        let slot = &self.slots[id as usize];
        Some(EndpointHealth {
            address: slot.address.clone(),
            state: slot.state()?,
            since: time(slot.since_ms),
            fails: slot.fails.try_into().unwrap_or(u32::MAX),
            last_failure: self.reasons.text(slot.reason).map(ToOwned::to_owned),
            left: slot.left.try_into().unwrap_or(u32::MAX),
            proxies_up: slot.counts[EndpointState::Up as usize],
            proxies_total: slot.counts.iter().sum(),
        })
    }

    /// What a proxy says of its endpoints that are not up.
    pub(crate) fn down<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = EndpointDown<'a>> {
        let down = told.more.iter().filter(|(_, telling)| telling.state != EndpointState::Up);
        let mut down: Vec<_> = down.map(|(id, telling)| self.shown(*id, *telling)).collect();
        down.sort_by_key(|endpoint| (endpoint.backend, endpoint.address));
        down.into_iter()
    }

    fn shown(&self, id: Id, telling: Telling) -> EndpointDown<'_> {
        let Slot { backend, address, .. } = &self.slots[id as usize];
        let Telling { state, since_ms, fails, reason, left } = telling;
        let last_failure = self.reasons.text(reason).unwrap_or_default();
        EndpointDown { backend, address, state, since: time(since_ms), fails, last_failure, left }
    }

    /// The Backends of which there is something new to say, since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ResourceName> {
        std::mem::take(&mut self.changed)
    }

    /// The transitions since the last call.
    pub(crate) fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }
}

/// An endpoint that is not up on a proxy.
#[derive(Debug)]
pub(crate) struct EndpointDown<'a> {
    pub(crate) backend: &'a ResourceName,
    pub(crate) address: &'a EndpointAddress,
    pub(crate) state: EndpointState,
    pub(crate) since: Option<Timestamp>,
    pub(crate) fails: u32,
    pub(crate) last_failure: &'a str,
    pub(crate) left: u32,
}

/// Going down and coming back are transitions; what a person does (disable, delete) is none, and neither is a proxy that
/// comes or goes.
fn turn(was: Option<EndpointState>, is: Option<EndpointState>) -> Option<bool> {
    use EndpointState::{Down, Ejected, Up};
    match (was?, is?) {
        (Up, Ejected | Down) => Some(false),
        (Ejected | Down, Up) => Some(true),
        _ => None,
    }
}

impl Telling {
    /// No probe had passed or failed yet.
    fn was_unknown(self) -> bool {
        self.state == EndpointState::Down && self.reason.is_none()
    }

    /// That it is up and no more.
    const UP: Self = Self { state: EndpointState::Up, since_ms: 0, fails: 0, reason: None, left: 0 };

    fn is_plain(self) -> bool {
        Self { since_ms: 0, ..self } == Self::UP
    }
}

impl Slot {
    /// Up if all say so, else what most of the others say; `None` = no proxy has it.
    fn state(&self) -> Option<EndpointState> {
        let said = |state: &EndpointState| self.counts[*state as usize] > 0;
        let most = |state: &EndpointState| self.counts[*state as usize];
        // Of equal counts the first of the list wins: `max_by_key` takes the last, so look from the end.
        let other = EndpointState::DOWN.into_iter().rev().filter(said).max_by_key(most);
        other.or_else(|| Some(EndpointState::Up).filter(said))
    }

    /// One proxy more; `was` is the state before.
    fn add(&mut self, telling: Telling, was: Option<EndpointState>) {
        let Telling { state, since_ms, fails, reason, left } = telling;
        self.counts[state as usize] += 1;
        self.fails += u64::from(fails);
        self.left += u64::from(left);
        self.reason = reason.or(self.reason);
        match self.state() {
            is if is != was => self.since_ms = since_ms,
            Some(is) if is == state => self.since_ms = self.since_ms.min(since_ms),
            _ => {}
        }
    }

    /// One proxy less, which said this (nothing = that it is up and no more).
    fn subtract(&mut self, telling: Option<Telling>) {
        let Telling { state, fails, left, .. } = telling.unwrap_or(Telling::UP);
        self.counts[state as usize] -= 1;
        self.fails -= u64::from(fails);
        self.left -= u64::from(left);
    }
}

impl Told {
    fn has(&self, id: Id) -> bool {
        self.has.get(id as usize / 64).is_some_and(|word| word & bit(id) != 0)
    }

    fn set(&mut self, id: Id) {
        let word = id as usize / 64;
        if self.has.len() <= word {
            self.has.resize(word + 1, 0);
        }
        self.has[word] |= bit(id);
    }

    /// Whether it was set.
    fn clear(&mut self, id: Id) -> bool {
        let had = self.has(id);
        if had {
            self.has[id as usize / 64] &= !bit(id);
        }
        had
    }
}

fn bit(id: Id) -> u64 {
    1 << (id % 64)
}

fn ids(has: &[u64]) -> impl Iterator<Item = Id> {
    let bits = |(word, bits): (usize, &u64)| {
        let (word, bits) = (Id::try_from(word).unwrap_or_default(), *bits);
        (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
    };
    has.iter().enumerate().flat_map(bits)
}

fn time(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

fn now_ms() -> u64 {
    Timestamp::now().as_millisecond().try_into().unwrap_or_default()
}

/// The short reasons of failures, each kept once.
#[derive(Debug, Default)]
struct Reasons(Vec<Box<str>>);

impl Reasons {
    fn number(&mut self, text: &str) -> Option<u8> {
        if text.is_empty() {
            return None;
        }
        let known = self.0.iter().position(|known| **known == *text);
        let number = known.or_else(|| {
            (self.0.len() < REASONS).then(|| {
                self.0.push(text.into());
                self.0.len() - 1
            })
        });
        number.and_then(|number| number.try_into().ok())
    }

    fn text(&self, number: Option<u8>) -> Option<&str> {
        number.and_then(|number| self.0.get(usize::from(number))).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointState::{Disabled, Down, Draining, Ejected, Up};
    use super::*;
    use crate::testing::key;

    fn report(backend: &str, state: EndpointState, since_ms: u64, fails: u32) -> pb::EndpointReport {
        pb::EndpointReport {
            backend: Some((&key("Backend", backend)).into()),
            address: "10.0.0.1:80".into(),
            state: state.to_wire().into(),
            since_ms,
            fails,
            last_failure: if fails > 0 { "reset".into() } else { String::new() },
            left: 0,
        }
    }

    #[derive(Default)]
    struct World {
        merged: Merged,
        proxies: BTreeMap<u8, Told>,
    }

    impl World {
        fn hear(&mut self, proxy: u8, full: bool, report: pb::EndpointReport) {
            let told = self.proxies.entry(proxy).or_default();
            self.merged.hear(told, pb::Report { full, endpoints: vec![report] });
        }

        fn says(&mut self, proxy: u8, state: EndpointState, since_ms: u64) {
            self.hear(proxy, false, report("x", state, since_ms, u32::from(state == Ejected) * 3));
        }

        fn leaves(&mut self, proxy: u8) {
            self.merged.leave(&mut self.proxies.remove(&proxy).unwrap());
        }

        fn health(&self) -> BackendHealth {
            self.merged.of(&key("Backend", "x").name)
        }

        /// State, since, fails, up, total.
        fn x(&self) -> (EndpointState, i64, u32, u32, u32) {
            let endpoint = &self.health().endpoints[0];
            let since = endpoint.since.unwrap().as_millisecond();
            (endpoint.state, since, endpoint.fails, endpoint.proxies_up, endpoint.proxies_total)
        }

        fn transitions(&mut self) -> Vec<bool> {
            self.merged.take_transitions().into_iter().map(|transition| transition.up).collect()
        }
    }

    #[test]
    fn an_endpoint_is_up_only_if_every_proxy_says_so() {
        let mut world = World::default();
        world.says(1, Up, 500);
        world.says(2, Up, 400);
        assert_eq!(world.x(), (Up, 400, 0, 2, 2), "since the earliest");
        world.says(1, Ejected, 900);
        assert_eq!(world.x(), (Ejected, 900, 3, 1, 2));
        world.says(2, Ejected, 950);
        assert_eq!(world.x(), (Ejected, 900, 6, 0, 2), "the state is as old as the first that said so");
        world.says(1, Up, 1_000);
        world.says(2, Up, 1_100);
        assert_eq!(world.x(), (Up, 1_100, 0, 2, 2), "up since the last one came back");
        assert_eq!(world.health().endpoints[0].last_failure.as_deref(), Some("reset"));
    }

    #[test]
    fn of_the_others_the_most_common_state_counts() {
        let mut world = World::default();
        for (proxy, state) in [(1, Up), (2, Draining), (3, Draining), (4, Ejected)] {
            world.says(proxy, state, 1);
        }
        assert_eq!(world.x().0, Draining);
        world.says(5, Ejected, 1);
        assert_eq!(world.x().0, Ejected, "of equal numbers the one that tells of trouble");
    }

    #[test]
    fn s6_what_is_left_of_a_draining_endpoint_is_the_sum_over_proxies() {
        let mut world = World::default();
        let left = |world: &World| (world.x().0, world.health().endpoints[0].left);
        let mut says =
            |proxy, left| world.hear(proxy, false, pb::EndpointReport { left, ..report("x", Draining, 1, 0) });
        [(1, 3), (2, 4), (1, 2)].into_iter().for_each(|(proxy, left)| says(proxy, left));
        assert_eq!(left(&world), (Draining, 6));
        world.says(2, Disabled, 1);
        assert_eq!(left(&world).1, 2);
        world.leaves(1);
        assert_eq!(left(&world), (Disabled, 0));
    }

    #[test]
    fn a_proxy_that_leaves_takes_its_share_with_it() {
        let mut world = World::default();
        world.says(1, Up, 5);
        world.says(2, Ejected, 7);
        world.merged.take_changed();
        world.leaves(2);
        let (state, since, fails, up, total) = world.x();
        assert_eq!((state, fails, up, total), (Up, 0, 1, 1));
        assert!(since > 7, "since now, for all that is known");
        assert_eq!(world.merged.take_changed(), [key("Backend", "x").name].into());
        world.leaves(1);
        assert!(world.health().endpoints.is_empty() && world.merged.backends.is_empty());
        world.hear(3, true, report("other", Up, 1, 0));
        assert_eq!(world.merged.slots.len(), 1, "its number is used again");
    }

    #[test]
    fn a_full_report_replaces_all_that_the_proxy_said() {
        let mut world = World::default();
        world.says(1, Up, 5);
        world.hear(1, true, report("other", Up, 5, 0));
        assert!(world.health().endpoints.is_empty());
        assert_eq!(world.merged.of(&key("Backend", "other").name).endpoints.len(), 1);
    }

    #[test]
    fn what_is_gone_on_one_proxy_is_still_on_the_others() {
        let mut world = World::default();
        world.says(1, Up, 5);
        world.says(2, Up, 5);
        let gone = pb::EndpointReport { state: pb::EndpointState::Gone.into(), ..report("x", Up, 9, 0) };
        world.hear(1, false, gone.clone());
        world.hear(1, false, gone);
        assert_eq!(world.x(), (Up, 5, 0, 1, 1));
    }

    #[test]
    fn h7_down_and_up_are_told_once_each_however_many_proxies_see_them() {
        let mut world = World::default();
        (1..=3).for_each(|proxy| world.says(proxy, Up, 1));
        (1..=3).for_each(|proxy| world.says(proxy, Ejected, 2));
        assert_eq!(world.transitions(), [false]);
        (1..=3).for_each(|proxy| world.says(proxy, Up, 3));
        assert_eq!(world.transitions(), [true]);
    }

    #[test]
    fn h7_what_probes_find_out_is_told_but_not_that_a_proxy_had_its_first_one() {
        let mut world = World::default();
        let down = |fails| report("x", Down, 1, fails);
        world.hear(1, true, down(0));
        world.says(1, Up, 2);
        assert_eq!(world.transitions(), [] as [bool; 0], "it was unknown");
        world.hear(1, false, down(1));
        world.says(1, Ejected, 3);
        assert_eq!(world.transitions(), [false], "once");
        world.hear(1, false, down(1));
        world.says(1, Up, 4);
        assert_eq!(world.transitions(), [true]);
        world.hear(2, true, down(0));
        world.says(2, Up, 5);
        assert_eq!(world.transitions(), [] as [bool; 0], "a proxy that begins is no news");
    }

    #[test]
    fn h7_what_a_person_does_and_proxies_that_come_and_go_are_no_transitions() {
        let mut world = World::default();
        for state in [Up, Disabled, Up, Draining, Up] {
            world.says(1, state, 1);
        }
        world.says(2, Ejected, 2);
        world.leaves(2);
        world.hear(3, true, report("x", Ejected, 2, 3));
        world.hear(3, true, report("x", Up, 2, 0));
        assert_eq!(world.transitions(), [] as [bool; 0]);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let mut world = World::default();
        world.hear(1, false, pb::EndpointReport { address: "nowhere".into(), ..report("x", Up, 1, 0) });
        world.hear(1, false, pb::EndpointReport { backend: None, ..report("x", Up, 1, 0) });
        world.hear(1, false, pb::EndpointReport { state: 99, ..report("x", Up, 1, 0) });
        assert!(world.merged.slots.is_empty());
    }

    #[test]
    fn reasons_are_kept_once_and_no_more_than_so_many() {
        let mut reasons = Reasons::default();
        let numbers: Vec<_> = (0..100).map(|i| reasons.number(&format!("r{}", i % 80))).collect();
        assert_eq!((numbers[0], numbers[63], numbers[64], numbers[80]), (Some(0), Some(63), None, Some(0)));
        assert_eq!(reasons.text(numbers[1]), Some("r1"));
    }
}
