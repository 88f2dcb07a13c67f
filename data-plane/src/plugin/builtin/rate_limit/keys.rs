//! How much of its allowance each key has used. Bounded: when there are too many keys, those go first that have used
//! the least, which are the old ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;

/// Locks, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// Most keys in all.
const MOST: usize = 1 << 16;

/// Whose allowance is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Says whose.
    pub(super) hash: u64,
    /// Whether something of it is taken, if there is something.
    pub(super) takes: bool,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct Keys {
    shards: [Mutex<HashMap<u64, Nanos>>; SHARDS],
}

impl StateStore for Keys {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, Key { hash: key, takes }: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // The remainder is less than the number of shards.
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
        let mut shard = self.shards[*key as usize % SHARDS].lock();
        if let Entry::Occupied(mut known) = shard.entry(*key) {
            let (outcome, next) = f(Some(*known.get()))?;
            if *takes {
                known.insert(next);
            }
            return Ok(outcome);
        }
        let (outcome, next) = f(None)?;
        if !takes {
            return Ok(outcome);
        }
        if shard.len() >= MOST / SHARDS {
            make_room(&mut shard, next);
        }
        shard.insert(*key, next);
        Ok(outcome)
    }
}

/// Forgets at least half of the keys. The state of a key is the time when it has its whole allowance again, but for
/// one request: what is before that of a new key is as good as new.
fn make_room(shard: &mut HashMap<u64, Nanos>, new: Nanos) {
    shard.retain(|_, state| *state > new);
    if shard.len() > MOST / SHARDS / 2 {
        let mut states: Vec<Nanos> = shard.values().copied().collect();
        let middle = states.len() / 2;
        let (_, median, _) = states.select_nth_unstable(middle);
        shard.retain(|_, state| *state > *median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(keys: &Keys, hash: u64, state: u64) -> Option<u64> {
        let put = |before: Option<Nanos>| Ok::<_, ()>((before.map(u64::from), state.into()));
        keys.measure_and_replace(&Key { hash, takes: true }, put).unwrap()
    }

    #[test]
    fn p7_the_number_of_keys_is_bounded() {
        let keys = Keys::default();
        for key in 0..4 * MOST as u64 {
            put(&keys, key, 1_000 + key);
        }
        let held: usize = keys.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!((MOST / 4..=MOST).contains(&held), "{held}");
        let last = 4 * MOST as u64 - 1;
        assert_eq!(put(&keys, last, 0), Some(1_000 + last), "the newest is known");
        assert_eq!(put(&keys, 0, 0), None, "the oldest is forgotten");
    }

    #[test]
    fn a_refused_request_changes_nothing() {
        let keys = Keys::default();
        put(&keys, 1, 5);
        assert_eq!(keys.measure_and_replace(&Key { hash: 1, takes: true }, |_| Err::<((), Nanos), _>("no")), Err("no"));
        assert_eq!(put(&keys, 1, 6), Some(5));
        assert_eq!(keys.measure_and_replace(&Key { hash: 2, takes: true }, |_| Err::<((), Nanos), _>("no")), Err("no"));
        assert_eq!(put(&keys, 2, 6), None);
    }
}
