//! How far the proxies are with each resource. They are counted by the snapshot they work with: a thousand
//! proxies work with a few.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::model::Key;
use weir_proto::version::Version;

use crate::scope::Scope;
use crate::snapshot::Snapshot;
use crate::status::Programmed;

/// What a proxy refused of the snapshot it answered last, and why.
pub(super) type Refused = BTreeMap<(Key, Version), String>;

/// How far all proxies are.
#[derive(Debug, Default)]
pub struct Progress {
    groups: Vec<Group>,
    /// By resource: each proxy that refused it, with the reason.
    refused: BTreeMap<(Key, Version), Vec<(String, String)>>,
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
    pub(super) fn add(&mut self, id: &str, scope: &Arc<Scope>, snapshot: Option<&Arc<Snapshot>>, refused: &Refused) {
        let at = |s: Option<&Arc<Snapshot>>| s.map(Arc::as_ptr);
        let is_its = |group: &&mut Group| at(group.snapshot.as_ref()) == at(snapshot) && group.scope == *scope;
        match self.groups.iter_mut().find(is_its) {
            Some(group) => group.count += 1,
            None => self.groups.push(Group { scope: scope.clone(), snapshot: snapshot.cloned(), count: 1 }),
        }
        for (what, why) in refused {
            self.refused.entry(what.clone()).or_default().push((id.to_owned(), why.clone()));
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
        programmed.programmed = programmed.programmed.saturating_sub(programmed.rejected.len());
        programmed
    }
}
