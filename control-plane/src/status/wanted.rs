//! The statuses that objects should have, and which of them are to be looked at next. Pure.
//!
//! Of each object there is the newest status only: one that changes while it waits is written once. What a person
//! waits for goes first; mere counts, which change for every object when a proxy comes or goes, come after.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_proto::model::Key;

use super::{Health, Status};

/// The newest status of every object, and a queue.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    statuses: BTreeMap<Key, Arc<Status>>,
    first: Lane,
    later: Lane,
    /// Being written: not to be looked at again before that is done.
    running: BTreeSet<Key>,
}

/// Keys in the order in which they came, each once.
#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<Key>,
    due: BTreeSet<Key>,
}

impl Wanted {
    /// An object should have this status; `None` = it is gone.
    pub(super) fn set(&mut self, key: Key, status: Option<Arc<Status>>) {
        let Some(status) = status else {
            self.statuses.remove(&key);
            return;
        };
        let is_minor = self.statuses.get(&key).is_some_and(|before| is_minor(before, &status));
        self.statuses.insert(key.clone(), status);
        if is_minor && !self.first.due.contains(&key) {
            self.later.push(key);
        } else {
            self.first.push(key);
        }
    }

    /// An object may have another status than it should.
    pub(super) fn again(&mut self, key: Key) {
        if self.statuses.contains_key(&key) {
            self.first.push(key);
        }
    }

    /// Any object may have another status than it should.
    pub(super) fn all_again(&mut self) {
        self.statuses.keys().for_each(|key| self.first.push(key.clone()));
    }

    /// The next to look at, which runs until it is done.
    pub(super) fn next(&mut self) -> Option<(Key, Arc<Status>)> {
        self.take(|wanted| &mut wanted.first)
    }

    /// The next to look at of which only counts have changed.
    pub(super) fn next_minor(&mut self) -> Option<(Key, Arc<Status>)> {
        self.take(|wanted| &mut wanted.later)
    }

    /// Whether there is any of which only counts have changed.
    pub(super) fn has_minor(&self) -> bool {
        !self.later.order.is_empty()
    }

    /// It is written, or need not be.
    pub(super) fn done(&mut self, key: &Key) {
        self.running.remove(key);
    }

    fn take(&mut self, lane: impl Fn(&mut Self) -> &mut Lane) -> Option<(Key, Arc<Status>)> {
        let waiting = lane(self).order.len();
        for _ in 0..waiting {
            let key = lane(self).pop()?;
            if self.running.contains(&key) {
                lane(self).push(key);
                continue;
            }
            // What is gone meanwhile is passed over.
            if let Some(status) = self.statuses.get(&key).cloned() {
                self.running.insert(key.clone());
                return Some((key, status));
            }
        }
        None
    }
}

impl Lane {
    fn push(&mut self, key: Key) {
        if self.due.insert(key.clone()) {
            self.order.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<Key> {
        let key = self.order.pop_front()?;
        self.due.remove(&key);
        Some(key)
    }
}

/// Whether nothing but counts of proxies and failures has changed.
fn is_minor(before: &Status, after: &Status) -> bool {
    let words = |status: &Status| status.conditions().map(|condition| (condition.holds, condition.reason));
    before.verdict == after.verdict && words(before) == words(after) && is_same_health(&before.health, &after.health)
}

fn is_same_health(before: &Health, after: &Health) -> bool {
    match (before, after) {
        (Health::Backend(before), Health::Backend(after)) => {
            let states = before.endpoints.iter().map(|e| (&e.address, e.state));
            before.total == after.total && states.eq(after.endpoints.iter().map(|e| (&e.address, e.state)))
        }
        _ => before == after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{InForce, PoolHealth, Programmed, Verdict};
    use crate::testing::key;

    fn status(generation: i64, programmed: usize, total: usize) -> Option<Arc<Status>> {
        let verdict = Verdict {
            in_force: Some(InForce::Pool { method: Default::default(), priority: 0 }),
            address: None,
            used_by: None,
            generation: Some(generation),
            invalid: Vec::new(),
            reference: None,
        };
        let programmed = Programmed { total, programmed, rejected: Vec::new() };
        Some(Arc::new(Status { verdict, programmed, health: Health::Pool(PoolHealth::default()) }))
    }

    fn name(next: Option<(Key, Arc<Status>)>) -> Option<String> {
        next.map(|(key, _)| key.name.name().to_owned())
    }

    #[test]
    fn a_change_of_a_condition_overtakes_mere_counts() {
        let mut wanted = Wanted::default();
        for name in ["a", "b"] {
            wanted.set(key("Pool", name), status(1, 1, 1));
            wanted.next();
            wanted.done(&key("Pool", name));
        }
        wanted.set(key("Pool", "a"), status(1, 2, 2));
        assert_eq!(name(wanted.next()), None);
        wanted.set(key("Pool", "b"), status(1, 0, 2));
        assert_eq!((name(wanted.next()), name(wanted.next_minor())), (Some("b".into()), Some("a".into())));
        assert_eq!((name(wanted.next()), name(wanted.next_minor())), (None, None));
    }

    #[test]
    fn counts_that_change_do_not_put_a_waiting_change_off() {
        let mut wanted = Wanted::default();
        wanted.set(key("Pool", "a"), status(1, 1, 1));
        wanted.set(key("Pool", "a"), status(1, 2, 2));
        let (_, newest) = wanted.next().unwrap();
        assert_eq!(newest.programmed.total, 2, "the newest is written, once");
        assert_eq!(name(wanted.next_minor()), None);
    }

    #[test]
    fn an_object_is_written_by_one_at_a_time() {
        let mut wanted = Wanted::default();
        wanted.set(key("Pool", "a"), status(1, 1, 1));
        wanted.set(key("Pool", "b"), status(1, 1, 1));
        assert_eq!(name(wanted.next()), Some("a".into()));
        wanted.set(key("Pool", "a"), status(2, 0, 1));
        assert_eq!((name(wanted.next()), name(wanted.next())), (Some("b".into()), None));
        wanted.done(&key("Pool", "a"));
        assert_eq!(name(wanted.next()), Some("a".into()));
    }

    #[test]
    fn what_is_gone_is_not_written() {
        let mut wanted = Wanted::default();
        wanted.set(key("Pool", "a"), status(1, 1, 1));
        wanted.set(key("Pool", "a"), None);
        wanted.again(key("Pool", "a"));
        wanted.all_again();
        assert_eq!(name(wanted.next()), None);
    }
}
