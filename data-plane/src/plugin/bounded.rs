//! Values by key: each worker has its own, of a bounded number of keys over all of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use parking_lot::Mutex;

use crate::stats::Sharded;

/// Values by key, added up when they are read.
#[derive(Debug)]
pub struct Bounded<K, V> {
    /// Only a reader ever makes a worker wait.
    shards: Sharded<Mutex<HashMap<K, V>>>,
    /// Those that any worker has.
    known: Mutex<HashSet<K>>,
    most: usize,
}

impl<K: Clone + Eq + Hash + Ord, V: Clone + Default> Bounded<K, V> {
    /// Without any value; for so many keys at most.
    #[must_use]
    pub fn new(workers: usize, most: usize) -> Self {
        Self { shards: Sharded::new(workers), known: Mutex::default(), most }
    }

    /// Changes one worker's value of a key. Says whether it did: not if the key would be one too many.
    pub fn change(&self, worker: usize, key: &K, change: impl FnOnce(&mut V)) -> bool {
        let mut values = self.shards.of(worker).lock();
        if let Some(value) = values.get_mut(key) {
            change(value);
            return true;
        }
        let admitted = self.admit(key);
        if admitted {
            change(values.entry(key.clone()).or_default());
        }
        admitted
    }

    /// The same of a key beyond that number.
    pub fn change_beyond(&self, worker: usize, key: K, change: impl FnOnce(&mut V)) {
        change(self.shards.of(worker).lock().entry(key).or_default());
    }

    fn admit(&self, key: &K) -> bool {
        let mut known = self.known.lock();
        let admitted = known.contains(key) || known.len() < self.most;
        if admitted {
            known.insert(key.clone());
        }
        admitted
    }

    /// All values, those of the same key put together by `add`.
    pub fn sums(&self, add: impl Fn(&mut V, &V)) -> BTreeMap<K, V> {
        let mut sums: BTreeMap<K, V> = BTreeMap::new();
        for shard in self.shards.iter() {
            for (key, value) in &*shard.lock() {
                add(sums.entry(key.clone()).or_default(), value);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_keys_are_bounded_over_all_workers_and_known_ones_stay_in() {
        let values = Bounded::<u32, u64>::new(2, 2);
        let add = |worker: usize, key: u32| values.change(worker, &key, |value| *value += 1);
        assert!(add(0, 1) && add(1, 2) && add(0, 2));
        assert!(!add(0, 3) && !add(1, 4) && add(1, 1));
        values.change_beyond(1, 9, |value| *value += 5);
        assert_eq!(values.sums(|sum, value| *sum += value), [(1, 2), (2, 2), (9, 5)].into());
    }
}
