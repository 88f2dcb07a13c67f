//! Who refers to what.

use std::collections::{BTreeMap, BTreeSet};

use weir_proto::model::ResourceName;

/// Names, each with all that refer to it. A name need not exist.
#[derive(Debug)]
pub(crate) struct References<From>(BTreeMap<ResourceName, BTreeSet<From>>);

impl<From> Default for References<From> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<From: Ord> References<From> {
    pub(crate) fn link(&mut self, from: From, to: ResourceName) {
        self.0.entry(to).or_default().insert(from);
    }

    pub(crate) fn unlink(&mut self, from: &From, to: &ResourceName) {
        let Some(all) = self.0.get_mut(to) else { return };
        all.remove(from);
        if all.is_empty() {
            self.0.remove(to);
        }
    }

    /// All that refer to a name.
    pub(crate) fn to(&self, name: &ResourceName) -> impl Iterator<Item = &From> {
        self.0.get(name).into_iter().flatten()
    }
}
