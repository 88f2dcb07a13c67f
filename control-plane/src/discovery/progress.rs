//! How far the proxies are with each resource. They are counted by the snapshot they work with: a thousand
//! proxies work with a few.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_proto::model::Key;
use weir_proto::version::Version;

use crate::scope::Scope;
use crate::snapshot::Snapshot;
use crate::status::Programmed;

/// What a proxy refused of the snapshot it works with, and why.
pub(super) type Refused = BTreeMap<(Key, Version), String>;

/// Where a proxy is not as the snapshot that it works with.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Exceptions {
    /// What it refused.
    pub(super) refused: Refused,
    /// What it does not have yet, though it refused nothing: another replica is about to send it.
    pub(super) behind: BTreeSet<Key>,
}

impl Exceptions {
    /// The resources of which one says something else than the other.
    pub(super) fn changed(&self, other: &Self) -> BTreeSet<Key> {
        let key = |(key, _): &(Key, Version)| key.clone();
        let refused = |these: &Self| these.refused.keys().cloned().collect::<BTreeSet<_>>();
        let behind = self.behind.symmetric_difference(&other.behind).cloned();
        refused(self).symmetric_difference(&refused(other)).map(key).chain(behind).collect()
    }
}

/// How far all proxies are.
#[derive(Debug, Default)]
pub struct Progress {
    groups: Vec<Group>,
    /// By resource: each proxy that refused it, with the reason.
    refused: BTreeMap<(Key, Version), Vec<(String, String)>>,
    /// By resource: how many proxies do not have it yet.
    behind: BTreeMap<Key, usize>,
}

/// Proxies of one scope that work with one snapshot.
#[derive(Debug)]
struct Group {
    scope: Arc<Scope>,
    /// `None` = they have not answered yet.
    snapshot: Option<Arc<Snapshot>>,
    count: usize,
}

impl Progress {
    /// One proxy more.
    pub(super) fn add(&mut self, id: &str, scope: &Arc<Scope>, at: Option<&Arc<Snapshot>>, exceptions: &Exceptions) {
        let Exceptions { refused, behind } = exceptions;
        let pointer = |s: Option<&Arc<Snapshot>>| s.map(Arc::as_ptr);
        let is_its = |group: &&mut Group| pointer(group.snapshot.as_ref()) == pointer(at) && group.scope == *scope;
        match self.groups.iter_mut().find(is_its) {
            Some(group) => group.count += 1,
            None => self.groups.push(Group { scope: scope.clone(), snapshot: at.cloned(), count: 1 }),
        }
        for (what, why) in refused {
            self.refused.entry(what.clone()).or_default().push((id.to_owned(), why.clone()));
        }
        for key in behind {
            *self.behind.entry(key.clone()).or_default() += 1;
        }
    }

    /// How far the proxies that may read a resource are with a version of it; `None` = it is not in the snapshot.
    #[must_use]
    pub fn of(&self, key: &Key, version: Option<Version>) -> Programmed {
        let mut programmed = Programmed::default();
        for Group { snapshot, count, .. } in self.groups.iter().filter(|group| group.scope.covers(&key.name)) {
            programmed.total += count;
            let entry = snapshot.as_ref().and_then(|snapshot| snapshot.get(key));
            if entry.is_some_and(|entry| Some(entry.version) == version) {
                programmed.programmed += count;
            }
        }
        let refused = version.and_then(|version| self.refused.get(&(key.clone(), version)));
        programmed.rejected = refused.cloned().unwrap_or_default();
        let without = programmed.rejected.len() + self.behind.get(key).copied().unwrap_or_default();
        programmed.programmed = programmed.programmed.saturating_sub(without);
        programmed
    }
}
