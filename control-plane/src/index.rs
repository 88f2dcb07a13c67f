//! The resources as their users last gave them, who refers to whom, and what a change concerns. Pure: no
//! async, no locks, no judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use weir_proto::model::{Key, Kind, ResourceName};

use crate::api::{PluginSpec, PoolSpec};
use crate::finding::Finding;
use crate::keep::Keep;
use crate::references::References;
use crate::source::{Event, Given, Object, Spec};

/// Current resources and what has changed since the last look.
#[derive(Debug, Default)]
pub struct Index {
    /// The last version of each resource that keeps its schema.
    objects: BTreeMap<Key, Object>,
    /// Resources whose newest version does not even keep its schema.
    broken: BTreeMap<Key, Broken>,
    /// Pool -> the resources that name it: by `inherit`, or as the Pool of a Backend.
    users: References<Key>,
    /// Service -> the Backends that name it.
    clients: References<ResourceName>,
    /// Kinds whose first list is there.
    complete: BTreeSet<Kind>,
    /// What may be there without our knowing.
    hidden: Keep,
    dirty: BTreeSet<Key>,
}

/// The newest version of a resource, which breaks its schema.
#[derive(Debug, PartialEq)]
pub struct Broken {
    /// Its `metadata.generation`.
    pub generation: Option<i64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Index {
    /// Takes in a change; true if anything is different now.
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Apply(given) => self.give(given),
            Event::Delete(key) => self.delete(&key),
            Event::Reset(kind, all) => self.complete.insert(kind) | self.reset(kind, None, all),
            Event::ResetIn(kind, namespace, all) => self.reset(kind, Some(&namespace), all),
            Event::Hidden(keep) => mem::replace(&mut self.hidden, keep) != self.hidden,
            Event::Service(_) | Event::Content(..) | Event::Problems(..) => false,
        }
    }

    /// What has changed, with all that depends on it; `None` until every kind has had its first list, since
    /// half a list looks like mass deletion.
    pub fn take_dirty(&mut self) -> Option<BTreeSet<Key>> {
        (self.complete.len() == Kind::GIVEN.len()).then(|| mem::take(&mut self.dirty))
    }

    /// Kinds whose first list has not come yet.
    #[must_use]
    pub fn missing(&self) -> Vec<Kind> {
        Kind::GIVEN.into_iter().filter(|kind| !self.complete.contains(kind)).collect()
    }

    /// The last version of a resource that keeps its schema.
    #[must_use]
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Why the newest version of a resource breaks its schema.
    #[must_use]
    pub fn broken(&self, key: &Key) -> Option<&Broken> {
        self.broken.get(key)
    }

    /// Whether there is such a resource, usable or not.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.objects.contains_key(key) || self.broken.contains_key(key)
    }

    /// What may be there without our knowing.
    #[must_use]
    pub fn hidden(&self) -> &Keep {
        &self.hidden
    }

    /// The specification of a Pool.
    #[must_use]
    pub fn pool(&self, name: &ResourceName) -> Option<&Arc<PoolSpec>> {
        match &self.objects.get(&Key::pool(name.clone()))?.spec {
            Spec::Pool(spec) => Some(spec),
            Spec::Backend(_) | Spec::Plugin(_) => None,
        }
    }

    /// The specification of a Plugin.
    #[must_use]
    pub fn plugin(&self, name: &ResourceName) -> Option<&Arc<PluginSpec>> {
        match &self.objects.get(&Key::plugin(name.clone()))?.spec {
            Spec::Plugin(spec) => Some(spec),
            Spec::Pool(_) | Spec::Backend(_) => None,
        }
    }

    /// The resources that name a Pool, whether it exists or not.
    pub fn users(&self, pool: &ResourceName) -> impl Iterator<Item = &Key> {
        self.users.to(pool)
    }

    /// The Backends that name a Service, whether it exists or not.
    pub fn clients(&self, service: &ResourceName) -> impl Iterator<Item = &ResourceName> {
        self.clients.to(service)
    }

    fn give(&mut self, given: Given) -> bool {
        match given {
            Given::Object(object) => self.give_object(object),
            Given::Broken { key, generation, findings, origin: _ } => {
                let broken = Broken { generation, findings };
                let changed = self.broken.get(&key) != Some(&broken);
                self.broken.insert(key.clone(), broken);
                if changed {
                    self.touch(&key);
                }
                changed
            }
        }
    }

    fn give_object(&mut self, object: Object) -> bool {
        let key = object.key.clone();
        let mended = self.broken.remove(&key).is_some();
        self.unlink(&key);
        self.link(&object);
        let changed = self.objects.get(&key) != Some(&object) || mended;
        self.objects.insert(key.clone(), object);
        if changed {
            self.touch(&key);
        }
        changed
    }

    fn delete(&mut self, key: &Key) -> bool {
        self.unlink(key);
        let known = self.objects.remove(key).is_some() | self.broken.remove(key).is_some();
        if known {
            self.touch(key);
        }
        known
    }

    fn reset(&mut self, kind: Kind, namespace: Option<&str>, all: Vec<Given>) -> bool {
        let keep: BTreeSet<&Key> = all.iter().map(Given::key).collect();
        let is_listed = |key: &&Key| key.kind == kind && namespace.is_none_or(|n| key.name.namespace() == n);
        let known = self.objects.keys().chain(self.broken.keys()).filter(is_listed);
        let gone: BTreeSet<Key> = known.filter(|key| !keep.contains(key)).cloned().collect();
        let mut changed = false;
        for key in gone {
            changed |= self.delete(&key);
        }
        for given in all {
            changed |= self.give(given);
        }
        changed
    }

    /// The resources of a kind that have changed.
    pub fn dirty(&self, kind: Kind) -> impl Iterator<Item = &ResourceName> {
        self.dirty.iter().filter(move |key| key.kind == kind).map(|key| &key.name)
    }

    /// Marks a resource and all that takes values from it.
    pub fn touch(&mut self, key: &Key) {
        let mut open = vec![key.clone()];
        while let Some(key) = open.pop() {
            if !self.dirty.insert(key.clone()) || key.kind != Kind::Pool {
                continue;
            }
            open.extend(self.users(&key.name).filter(|user| user.kind == Kind::Pool).cloned());
        }
    }

    fn link(&mut self, object: &Object) {
        if let Some(pool) = reference(object) {
            self.users.link(object.key.clone(), pool);
        }
        if let Some(service) = service(object) {
            self.clients.link(object.key.name.clone(), service);
        }
    }

    fn unlink(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key) else { return };
        if let Some(pool) = reference(object) {
            self.users.unlink(key, &pool);
        }
        if let Some(service) = service(object) {
            self.clients.unlink(&key.name, &service);
        }
    }
}

/// The Pool that a resource names; a name that is no name refers to nothing.
pub(crate) fn reference(object: &Object) -> Option<ResourceName> {
    let pool = match &object.spec {
        Spec::Pool(spec) => spec.inherit.as_ref()?,
        Spec::Backend(spec) => &spec.pool,
        Spec::Plugin(_) => return None,
    };
    object.key.name.sibling(pool).ok()
}

/// The Service that a Backend names.
fn service(object: &Object) -> Option<ResourceName> {
    let Spec::Backend(spec) = &object.spec else { return None };
    object.key.name.sibling(&spec.service.as_ref()?.name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backend, key, pool};

    fn synced() -> Index {
        let mut index = Index::default();
        for kind in Kind::GIVEN {
            index.apply(Event::Reset(kind, Vec::new()));
        }
        index.take_dirty();
        index
    }

    fn dirty(index: &mut Index) -> Vec<String> {
        index.take_dirty().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rule_1_nothing_is_handed_out_before_every_kind_is_complete() {
        let mut index = Index::default();
        index.apply(Event::Reset(Kind::Pool, vec![pool("a", "{}")]));
        assert_eq!(index.take_dirty(), None);
        assert_eq!(index.missing(), [Kind::Backend, Kind::Plugin]);
        index.apply(Event::Reset(Kind::Backend, vec![]));
        assert_eq!(index.take_dirty(), None);
        index.apply(Event::Reset(Kind::Plugin, vec![]));
        assert_eq!(dirty(&mut index), ["Pool default/a"]);
    }

    #[test]
    fn an_update_says_whether_it_changed_anything() {
        let mut index = synced();
        assert!(index.apply(Event::Apply(pool("a", "{weight: 1}"))));
        assert!(!index.apply(Event::Apply(pool("a", "{weight: 1}"))));
        assert!(index.apply(Event::Apply(pool("a", "{weight: 2}"))));
        assert!(!index.apply(Event::Delete(key("Pool", "b"))));
        assert_eq!(dirty(&mut index), ["Pool default/a"]);
    }

    #[test]
    fn a_change_concerns_every_pool_that_inherits_and_no_other() {
        let mut index = synced();
        for (name, spec) in [("a", "{}"), ("b", "{inherit: a}"), ("c", "{inherit: b}"), ("d", "{}")] {
            index.apply(Event::Apply(pool(name, spec)));
        }
        index.take_dirty();
        index.apply(Event::Apply(pool("a", "{weight: 3}")));
        assert_eq!(dirty(&mut index), ["Pool default/a", "Pool default/b", "Pool default/c"]);
        index.apply(Event::Apply(pool("b", "{}")));
        index.take_dirty();
        index.apply(Event::Delete(key("Pool", "a")));
        assert_eq!(dirty(&mut index), ["Pool default/a"]);
    }

    #[test]
    fn references_follow_their_resource() {
        let mut index = synced();
        let a: ResourceName = "default/a".parse().unwrap();
        index.apply(Event::Apply(backend("x", "{pool: a, address: 'h:1'}")));
        assert_eq!(index.users(&a).count(), 1);
        index.apply(Event::Apply(backend("x", "{pool: b, address: 'h:1'}")));
        assert_eq!(index.users(&a).count(), 0);
    }

    #[test]
    fn s1_a_broken_version_leaves_the_last_good_one() {
        let mut index = synced();
        index.apply(Event::Apply(pool("a", "{weight: 2}")));
        let finding = Finding { place: None, key: None, field: "spec".into(), message: "bad".into() };
        assert!(index.apply(Event::Apply(Given::Broken {
            key: key("Pool", "a"),
            generation: Some(2),
            findings: vec![finding],
            origin: None,
        })));
        assert_eq!(index.pool(&"default/a".parse().unwrap()).unwrap().weight, Some(2));
        assert_eq!(index.broken(&key("Pool", "a")).unwrap().generation, Some(2));
        assert!(index.apply(Event::Apply(pool("a", "{weight: 2}"))), "mended");
        assert_eq!(index.broken(&key("Pool", "a")), None);
    }

    #[test]
    fn a_reset_deletes_what_it_does_not_name() {
        let mut index = synced();
        index.apply(Event::Apply(pool("a", "{}")));
        index.apply(Event::Apply(backend("x", "{pool: a, address: 'h:1'}")));
        index.take_dirty();
        index.apply(Event::Reset(Kind::Pool, vec![pool("b", "{}")]));
        assert_eq!(dirty(&mut index), ["Pool default/a", "Pool default/b"]);
        assert!(index.knows(&key("Backend", "x")) && !index.knows(&key("Pool", "a")));
    }

    #[test]
    fn a_reset_of_one_namespace_leaves_the_others() {
        let mut index = synced();
        index.apply(Event::Apply(pool("a", "{}")));
        index.take_dirty();
        assert!(!index.apply(Event::ResetIn(Kind::Pool, "other".into(), vec![])));
        assert!(index.apply(Event::ResetIn(Kind::Pool, "default".into(), vec![pool("b", "{}")])));
        assert_eq!(dirty(&mut index), ["Pool default/a", "Pool default/b"]);
    }
}
