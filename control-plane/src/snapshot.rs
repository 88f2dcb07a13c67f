//! Everything that proxies should have, as an immutable value. A change makes a new one that shares all that
//! stayed as it was, so that it costs what has changed and not what there is.

mod content;

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use prost::Message;
use tokio::time::Instant;
use weir_proto::model::{Key, Kind};
use weir_proto::pb;
use weir_proto::version::Version;

use self::content::Content;
use crate::keep::Keep;

/// One resource, ready to be sent.
#[derive(Debug)]
pub struct Entry {
    /// Content hash.
    pub version: Version,
    /// The encoded `pb::Resource`: made once, shared by all sessions.
    pub encoded: Bytes,
}

impl Entry {
    fn new(key: &Key, body: pb::resource::Body) -> Self {
        let version = Version::of(&body);
        let resource = pb::Resource { key: Some(key.into()), version: version.to_wire(), body: Some(body) };
        Self { version, encoded: resource.encode_to_vec().into() }
    }
}

/// Equal versions are equal content.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for Entry {}

/// The desired state of every proxy.
#[derive(Debug, Clone)]
pub struct Snapshot {
    entries: OrdMap<Key, Arc<Entry>>,
    content: Content,
    /// What no proxy is told to remove, though there is no entry for it.
    keep: Keep,
    changed_at: Instant,
}

/// A change of the desired state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    /// New and changed bodies.
    pub upserts: Vec<(Key, pb::resource::Body)>,
    /// Resources that no proxy should have any more.
    pub removed: Vec<Key>,
    /// All that proxies keep if they hold it, whether there is an entry for it or not: a refused resource, say,
    /// whose last good version only they know.
    pub keep: Keep,
}

impl Snapshot {
    /// A snapshot of nothing.
    #[must_use]
    pub fn empty(now: Instant) -> Self {
        Self { entries: OrdMap::new(), content: Content::default(), keep: Keep::default(), changed_at: now }
    }

    /// The snapshot after a change, or `None` if it would be the same. Unchanged entries are shared.
    #[must_use]
    pub fn next(&self, patch: Patch, now: Instant) -> Option<Self> {
        let Patch { upserts, removed, keep } = patch;
        let mut changed = keep != self.keep;
        let mut next = Self { entries: self.entries.clone(), content: self.content, keep, changed_at: now };
        for (key, body) in upserts {
            let entry = Entry::new(&key, body);
            changed |= next.put(key, entry);
        }
        for key in &removed {
            changed |= next.take(key);
        }
        changed.then_some(next)
    }

    fn put(&mut self, key: Key, entry: Entry) -> bool {
        if self.get(&key).is_some_and(|old| **old == entry) {
            return false;
        }
        self.take(&key);
        self.content.add(&key, entry.version);
        self.entries.insert(key, Arc::new(entry));
        true
    }

    fn take(&mut self, key: &Key) -> bool {
        let old = self.entries.remove(key);
        if let Some(old) = &old {
            self.content.subtract(key, old.version);
        }
        old.is_some()
    }

    /// The keys whose entries are not those of an older snapshot, in order. What both share is passed over: a few
    /// changes are found in a time that hardly depends on how many entries there are.
    pub fn changes_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = &'a Key> {
        old.entries.diff(&self.entries).map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
        })
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// Every entry, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Arc<Entry>)> {
        self.entries.iter()
    }

    /// Whether a proxy that holds this keeps it, though there is no entry for it.
    #[must_use]
    pub fn keeps(&self, key: &Key) -> bool {
        self.keep.covers(key)
    }

    /// How many resources of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.entries.keys().filter(|key| key.kind == kind).count()
    }

    /// Hash over all keys and versions: equal content has an equal version on every replica.
    #[must_use]
    pub fn version(&self) -> Version {
        self.content.version()
    }

    /// When the change that made this snapshot was seen.
    #[must_use]
    pub fn changed_at(&self) -> Instant {
        self.changed_at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{content, key, snapshot, weighed};

    fn set(name: &str, weight: u32) -> Patch {
        Patch { upserts: vec![weighed(&key("Pool", name), weight)], ..Patch::default() }
    }

    #[test]
    fn a_change_shares_every_other_entry_and_no_change_is_none() {
        let first = snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 1)]);
        assert!(first.next(set("b", 1), Instant::now()).is_none());
        let second = first.next(set("b", 2), Instant::now()).unwrap();
        let a = key("Pool", "a");
        assert!(Arc::ptr_eq(first.get(&a).unwrap(), second.get(&a).unwrap()));
        assert_ne!(first.version(), second.version());
    }

    #[test]
    fn rule_5_the_version_depends_on_content_not_on_history() {
        let direct = snapshot(&[(key("Pool", "a"), 2)]);
        let detour = snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 1)]);
        let patch = Patch { removed: vec![key("Pool", "b")], ..set("a", 2) };
        assert_eq!(detour.next(patch, Instant::now()).unwrap().version(), direct.version());
    }

    #[test]
    fn rule_5_versions_that_change_places_are_another_content() {
        let one = snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 2)]);
        let other = snapshot(&[(key("Pool", "a"), 2), (key("Pool", "b"), 1)]);
        assert_ne!(one.version(), other.version());
    }

    fn versions(snapshot: &Snapshot) -> BTreeMap<Key, Version> {
        snapshot.entries().map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    proptest! {
        /// However a content came about, its version is that of the same content made at once, and what has
        /// changed on the way is found.
        #[test]
        fn rule_5_a_snapshot_of_many_steps_is_that_of_one(steps in prop::collection::vec((content(), content()), 0..12)) {
            let first = snapshot(&[]);
            let (mut snapshot, mut model) = (first.clone(), BTreeMap::new());
            for (given, removed) in steps {
                let old = snapshot.clone();
                let removed: Vec<Key> = removed.into_iter().map(|(key, _)| key).collect();
                let upserts = given.iter().map(|(key, weight)| weighed(key, *weight)).collect();
                let patch = Patch { upserts, removed: removed.clone(), ..Patch::default() };
                if let Some(next) = old.next(patch, Instant::now()) {
                    snapshot = Arc::new(next);
                }
                model.extend(given);
                model.retain(|key, _| !removed.contains(key));
                let scratch = crate::testing::snapshot(&model.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(versions(&snapshot), versions(&scratch));
                prop_assert_eq!(snapshot.version(), scratch.version());
                for older in [&old, &first] {
                    let (before, after) = (versions(older), versions(&snapshot));
                    let all: std::collections::BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
                    let changed: Vec<&Key> = all.into_iter().filter(|key| before.get(*key) != after.get(*key)).collect();
                    prop_assert_eq!(snapshot.changes_since(older).collect::<Vec<_>>(), changed);
                }
            }
        }
    }
}
