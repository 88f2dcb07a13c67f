//! What one proxy holds, and the difference between that and a snapshot.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;
use weir_proto::model::{Key, Kind};
use weir_proto::version::Version;

use crate::scope::Scope;
use crate::snapshot::{Entry, Snapshot};

/// Exceptions to a snapshot: what is held in place of its entry, or of none; `None` = nothing is held.
type Exceptions = BTreeMap<Key, Option<Version>>;

/// What one proxy holds: what its scope covers of a snapshot, but for a few exceptions. A thousand proxies share
/// the snapshot, and the difference to the next is found from what the two snapshots do not share.
#[derive(Debug, Clone)]
pub struct Held {
    scope: Arc<Scope>,
    base: Arc<Snapshot>,
    /// Refused and kept resources, and what the proxy brought along when it connected.
    exceptions: Exceptions,
}

/// What brings a proxy from what it holds to a snapshot. Upserts come as endpoints, backends, pools, removals
/// as pools, backends, endpoints, so that nothing ever refers to what is not there.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// New and changed resources.
    pub upserts: Vec<(Key, Arc<Entry>)>,
    /// Resources that are gone, or that the proxy may not read.
    pub removed: Vec<Key>,
}

impl Delta {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removed.is_empty()
    }

    /// The entry that is sent of a resource.
    #[must_use]
    pub fn upsert(&self, key: &Key) -> Option<&Arc<Entry>> {
        let found = self.upserts.binary_search_by(|(sent, _)| in_order(sent).cmp(&in_order(key)));
        found.ok().map(|i| &self.upserts[i].1)
    }
}

/// What upserts are ordered by.
fn in_order(key: &Key) -> (Reverse<Kind>, &Key) {
    (Reverse(key.kind), key)
}

/// A step to a snapshot: taken once the proxy has answered.
#[derive(Debug)]
pub struct Step {
    /// What is sent.
    pub delta: Arc<Delta>,
    /// Where it leads.
    pub snapshot: Arc<Snapshot>,
    /// What differs from the snapshot and is not to be sent.
    exceptions: Exceptions,
}

impl Held {
    /// What a proxy of this scope says it holds.
    #[must_use]
    pub fn new(scope: Arc<Scope>, claimed: impl IntoIterator<Item = (Key, Version)>) -> Self {
        let exceptions = claimed.into_iter().map(|(key, version)| (key, Some(version))).collect();
        Self { scope, base: Arc::new(Snapshot::empty(Instant::now())), exceptions }
    }

    /// The version that is held of a resource.
    #[must_use]
    pub fn version(&self, key: &Key) -> Option<Version> {
        match self.exceptions.get(key) {
            Some(exception) => *exception,
            None => self.covered(&self.base, key).map(|entry| entry.version),
        }
    }

    /// The proxy says that it holds this of a resource, or nothing.
    pub fn set(&mut self, key: Key, version: Option<Version>) {
        self.exceptions.insert(key, version);
    }

    /// The step to a snapshot; what `is_refused` says yes to is not sent.
    pub fn step(&self, to: &Arc<Snapshot>, is_refused: impl Fn(&Key, Version) -> bool) -> Step {
        let mut delta = Delta::default();
        let mut exceptions = Exceptions::new();
        let changed: BTreeSet<&Key> = to.changes_since(&self.base).chain(self.exceptions.keys()).collect();
        for key in changed {
            let (held, wanted) = (self.version(key), self.covered(to, key));
            if held == wanted.map(|entry| entry.version) {
                continue;
            }
            match wanted {
                Some(entry) if !is_refused(key, entry.version) => delta.upserts.push((key.clone(), entry.clone())),
                None if !self.keeps(to, key) => delta.removed.push(key.clone()),
                _ => drop(exceptions.insert(key.clone(), held)),
            }
        }
        delta.upserts.sort_by(|(a, _), (b, _)| in_order(a).cmp(&in_order(b)));
        Step { delta: Arc::new(delta), snapshot: to.clone(), exceptions }
    }

    /// Books a step that the proxy has taken, but for the resources that it refused.
    pub fn take<'a>(&mut self, step: Step, refused: impl IntoIterator<Item = &'a Key>) {
        let Step { delta: _, snapshot, mut exceptions } = step;
        exceptions.extend(refused.into_iter().map(|key| (key.clone(), self.version(key))));
        (self.base, self.exceptions) = (snapshot, exceptions);
    }

    fn covered<'a>(&self, snapshot: &'a Snapshot, key: &Key) -> Option<&'a Arc<Entry>> {
        snapshot.get(key).filter(|_| self.scope.covers(&key.name))
    }

    /// What a proxy may not read it cannot keep either.
    fn keeps(&self, snapshot: &Snapshot, key: &Key) -> bool {
        snapshot.keeps(key) && self.scope.covers(&key.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keep::Keep;
    use crate::snapshot::Patch;
    use crate::testing::{content, key, snapshot};

    fn versions(snapshot: &Snapshot) -> BTreeMap<Key, Version> {
        snapshot.entries().map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    fn held(snapshot: &Snapshot) -> Held {
        Held::new(Arc::default(), versions(snapshot))
    }

    fn delta(held: &Held, to: &Arc<Snapshot>) -> Arc<Delta> {
        held.step(to, |_, _| false).delta
    }

    fn names<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<String> {
        keys.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rule_4_upserts_are_endpoints_then_backends_then_pools_and_removals_the_reverse() {
        let all = ["Pool b", "Backend y", "Endpoints y", "Pool a", "Backend x"];
        let all = all.map(|text| text.split_once(' ').unwrap()).map(|(kind, name)| (key(kind, name), 1));
        let (none, all) = (snapshot(&[]), snapshot(&all));
        let mut wanted =
            ["Endpoints default/y", "Backend default/x", "Backend default/y", "Pool default/a", "Pool default/b"];
        assert_eq!(names(delta(&held(&none), &all).upserts.iter().map(|(key, _)| key)), wanted);
        wanted.sort_by_key(|name| ["P", "B", "E"].iter().position(|kind| name.starts_with(kind)));
        assert_eq!(names(&delta(&held(&all), &none).removed), wanted);
    }

    #[test]
    fn s1_what_is_to_be_kept_is_not_removed_and_is_once_that_is_over() {
        let (a, b) = (key("Pool", "a"), key("Pool", "b"));
        let mut held = held(&snapshot(&[(a.clone(), 1), (b.clone(), 1)]));
        let empty = snapshot(&[]);
        for (keep, removed) in
            [(Keep::All, vec![]), (Keep::Only([a.clone()].into()), vec![b]), (Keep::default(), vec![a])]
        {
            let next = empty.next(Patch { keep, ..Patch::default() }, Instant::now());
            let step = held.step(&next.map_or(empty.clone(), Arc::new), |_, _| false);
            assert_eq!(step.delta.removed, removed);
            held.take(step, []);
        }
    }

    #[test]
    fn s1_the_endpoints_of_a_backend_that_is_to_be_kept_are_kept_with_it() {
        let held = held(&snapshot(&[(key("Endpoints", "x"), 1), (key("Endpoints", "y"), 1)]));
        let keep = Keep::Only([key("Backend", "x")].into());
        let next = snapshot(&[]).next(Patch { keep, ..Patch::default() }, Instant::now()).unwrap();
        assert_eq!(delta(&held, &Arc::new(next)).removed, [key("Endpoints", "y")]);
    }

    #[test]
    fn what_a_scope_does_not_cover_is_never_sent_nor_kept() {
        let (own, other): (Key, Key) = (Key::pool("own/a".parse().unwrap()), Key::pool("other/a".parse().unwrap()));
        let scope = Arc::new(Scope::Only(["own".into()].into()));
        let all = snapshot(&[(own.clone(), 1), (other.clone(), 1)]);
        let step = Held::new(scope.clone(), []).step(&all, |_, _| false);
        assert_eq!(names(step.delta.upserts.iter().map(|(key, _)| key)), ["Pool own/a"]);
        let both = Held::new(scope, versions(&all));
        assert_eq!(names(&delta(&both, &all).removed), ["Pool other/a"]);
        let keeping = snapshot(&[]).next(Patch { keep: Keep::All, ..Patch::default() }, Instant::now()).unwrap();
        assert_eq!(names(&delta(&both, &Arc::new(keeping)).removed), ["Pool other/a"]);
    }

    proptest! {
        /// Whatever a proxy holds, the delta brings it to the snapshot, with nothing that it has already.
        #[test]
        fn a_delta_always_leads_to_the_snapshot(before in content(), wanted in content()) {
            let (before, wanted) = (snapshot(&before), snapshot(&wanted));
            let mut held = held(&before);
            let step = held.step(&wanted, |_, _| false);
            let mut after = versions(&before);
            for (key, entry) in &step.delta.upserts {
                prop_assert_ne!(after.insert(key.clone(), entry.version), Some(entry.version));
            }
            for key in &step.delta.removed {
                prop_assert!(after.remove(key).is_some());
            }
            prop_assert_eq!(&after, &versions(&wanted));
            held.take(step, []);
            prop_assert!(delta(&held, &wanted).is_empty());
        }
    }
}
