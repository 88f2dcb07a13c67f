//! Everything that proxies should have, as an immutable value, and the difference to what one holds.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use tokio::time::Instant;
use weir_proto::model::{Key, Kind};
use weir_proto::pb;
use weir_proto::version::Version;

use crate::keep::Keep;

/// One resource, ready to be sent.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Content hash.
    pub version: Version,
    /// The message.
    pub resource: pb::Resource,
    /// Encoded size of the message.
    pub size: usize,
}

impl Entry {
    fn new(key: &Key, body: pb::resource::Body) -> Self {
        let version = Version::of(&body);
        let resource = pb::Resource { key: Some(key.into()), version: version.to_wire(), body: Some(body) };
        Self { version, size: resource.encoded_len(), resource }
    }
}

/// The desired state of every proxy.
#[derive(Debug, Clone)]
pub struct Snapshot {
    entries: BTreeMap<Key, Arc<Entry>>,
    /// What no proxy is told to remove, though there is no entry for it.
    keep: Keep,
    version: Version,
    changed_at: Instant,
}

/// What brings a proxy from what it holds to a snapshot. Upserts come as endpoints, backends, pools, removals
/// as pools, backends, endpoints, so that nothing ever refers to what is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// New and changed resources.
    pub upserts: Vec<(Key, Arc<Entry>)>,
    /// Resources that are gone.
    pub removed: Vec<Key>,
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
        let entries = BTreeMap::new();
        Self { version: version_of(&entries), entries, keep: Keep::default(), changed_at: now }
    }

    /// The snapshot after a change, or `None` if it would be the same. Unchanged entries are shared.
    #[must_use]
    pub fn next(&self, patch: Patch, now: Instant) -> Option<Self> {
        let Patch { upserts, removed, keep } = patch;
        let upserts = upserts.into_iter().map(|(key, body)| (Entry::new(&key, body), key));
        let differs = |entry: &Entry, key: &Key| self.get(key).is_none_or(|old| old.version != entry.version);
        let upserts: Vec<_> = upserts.filter(|(entry, key)| differs(entry, key)).collect();
        if upserts.is_empty() && keep == self.keep && !removed.iter().any(|key| self.entries.contains_key(key)) {
            return None;
        }
        let mut entries = self.entries.clone();
        entries.extend(upserts.into_iter().map(|(entry, key)| (key, Arc::new(entry))));
        for key in &removed {
            entries.remove(key);
        }
        Some(Self { version: version_of(&entries), entries, keep, changed_at: now })
    }

    /// The difference to what a proxy holds.
    #[must_use]
    pub fn delta(&self, held: &BTreeMap<Key, Version>) -> Delta {
        let fresh = self.entries.iter().filter(|(key, entry)| held.get(*key) != Some(&entry.version));
        let mut upserts: Vec<_> = fresh.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        upserts.sort_by_key(|(key, _)| Reverse(key.kind));
        let is_gone = |key: &&Key| !self.entries.contains_key(*key) && !self.keep.covers(key);
        let removed = held.keys().filter(is_gone).cloned().collect();
        Delta { upserts, removed }
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

    /// How many resources of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.entries.keys().filter(|key| key.kind == kind).count()
    }

    /// Hash over all keys and versions: equal content has an equal version on every replica.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// When the change that made this snapshot was seen.
    #[must_use]
    pub fn changed_at(&self) -> Instant {
        self.changed_at
    }
}

fn version_of(entries: &BTreeMap<Key, Arc<Entry>>) -> Version {
    let parts = entries.iter().flat_map(|(key, entry)| {
        let Key { kind, name } = key;
        [kind.as_str().as_bytes(), name.namespace().as_bytes(), name.name().as_bytes(), entry.version.as_bytes()]
    });
    Version::of_parts(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::key;

    fn body(key: &Key, weight: u32) -> pb::resource::Body {
        match key.kind {
            Kind::Pool => pb::resource::Body::Pool(pb::Pool { weight, ..Default::default() }),
            Kind::Backend => pb::resource::Body::Backend(pb::Backend { weight, ..Default::default() }),
            Kind::Endpoints => {
                let endpoint = pb::ServiceEndpoint { address: format!("10.0.0.1:{weight}"), ..Default::default() };
                pb::resource::Body::Endpoints(pb::Endpoints { endpoints: vec![endpoint] })
            }
        }
    }

    fn snapshot(content: &[(Key, u32)]) -> Snapshot {
        let upserts = content.iter().map(|(key, weight)| (key.clone(), body(key, *weight))).collect();
        let empty = Snapshot::empty(Instant::now());
        empty.next(Patch { upserts, ..Patch::default() }, Instant::now()).unwrap_or(empty)
    }

    fn versions(snapshot: &Snapshot) -> BTreeMap<Key, Version> {
        snapshot.entries().map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    #[test]
    fn rule_4_upserts_are_endpoints_then_backends_then_pools_and_removals_the_reverse() {
        let all = ["Pool b", "Backend y", "Endpoints y", "Pool a", "Backend x"];
        let all = all.map(|text| text.split_once(' ').unwrap()).map(|(kind, name)| (key(kind, name), 1));
        let snapshot = snapshot(&all);
        let delta = snapshot.delta(&BTreeMap::new());
        let upserts: Vec<_> = delta.upserts.iter().map(|(key, _)| key.to_string()).collect();
        let wanted =
            ["Endpoints default/y", "Backend default/x", "Backend default/y", "Pool default/a", "Pool default/b"];
        assert_eq!(upserts, wanted);
        let delta = Snapshot::empty(Instant::now()).delta(&versions(&snapshot));
        let removed: Vec<_> = delta.removed.iter().map(ToString::to_string).collect();
        let wanted =
            ["Pool default/a", "Pool default/b", "Backend default/x", "Backend default/y", "Endpoints default/y"];
        assert_eq!(removed, wanted);
    }

    #[test]
    fn a_change_shares_every_other_entry_and_no_change_is_none() {
        let first = snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 1)]);
        let set =
            |weight| Patch { upserts: vec![(key("Pool", "b"), body(&key("Pool", "b"), weight))], ..Patch::default() };
        assert!(first.next(set(1), Instant::now()).is_none());
        let second = first.next(set(2), Instant::now()).unwrap();
        let a = key("Pool", "a");
        assert!(Arc::ptr_eq(first.get(&a).unwrap(), second.get(&a).unwrap()));
        assert_ne!(first.version(), second.version());
    }

    #[test]
    fn rule_5_the_version_depends_on_content_not_on_history() {
        let direct = snapshot(&[(key("Pool", "a"), 2)]);
        let detour = snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 1)]);
        let upserts = vec![(key("Pool", "a"), body(&key("Pool", "a"), 2))];
        let patch = Patch { upserts, removed: vec![key("Pool", "b")], ..Patch::default() };
        assert_eq!(detour.next(patch, Instant::now()).unwrap().version(), direct.version());
    }

    #[test]
    fn s1_what_is_to_be_kept_is_not_removed_and_is_once_that_is_over() {
        let held = versions(&snapshot(&[(key("Pool", "a"), 1), (key("Pool", "b"), 1)]));
        let removed = |keep| {
            let empty = Snapshot::empty(Instant::now());
            let next = empty.next(Patch { keep, ..Patch::default() }, Instant::now()).unwrap_or(empty);
            next.delta(&held).removed
        };
        assert_eq!(removed(Keep::All), []);
        assert_eq!(removed(Keep::Only([key("Pool", "a")].into())), [key("Pool", "b")]);
        assert_eq!(removed(Keep::default()).len(), 2);
    }

    #[test]
    fn s1_the_endpoints_of_a_backend_that_is_to_be_kept_are_kept_with_it() {
        let held = versions(&snapshot(&[(key("Endpoints", "x"), 1), (key("Endpoints", "y"), 1)]));
        let keep = Keep::Only([key("Backend", "x")].into());
        let next = Snapshot::empty(Instant::now()).next(Patch { keep, ..Patch::default() }, Instant::now()).unwrap();
        assert_eq!(next.delta(&held).removed, [key("Endpoints", "y")]);
    }

    fn contents() -> impl Strategy<Value = Vec<(Key, u32)>> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        let key = (kind, 0..12_u8).prop_map(|(kind, i)| key(kind.as_str(), &format!("r{i}")));
        prop::collection::btree_map(key, 0..3_u32, 0..20).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        /// Whatever a proxy holds, the delta brings it to the snapshot, with nothing that it has already.
        #[test]
        fn a_delta_always_leads_to_the_snapshot(held in contents(), wanted in contents()) {
            let held = versions(&snapshot(&held));
            let wanted = snapshot(&wanted);
            let delta = wanted.delta(&held);
            let mut after = held.clone();
            for (key, entry) in &delta.upserts {
                prop_assert_ne!(after.insert(key.clone(), entry.version), Some(entry.version));
            }
            for key in &delta.removed {
                prop_assert!(after.remove(key).is_some());
            }
            prop_assert_eq!(&after, &versions(&wanted));
            prop_assert_eq!(wanted.delta(&after), Delta::default());
        }
    }
}
