//! Who refers to what.

use std::collections::{BTreeMap, BTreeSet};

use weir_proto::model::ResourceName;

/// Names, each with all that refer to it. What is named need not exist.
#[derive(Debug)]
pub(crate) struct References<From, To = ResourceName>(BTreeMap<To, BTreeSet<From>>);

impl<From, To> Default for References<From, To> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<From: Ord, To: Ord> References<From, To> {
    pub(crate) fn link(&mut self, from: From, to: To) {
        self.0.entry(to).or_default().insert(from);
    }

    pub(crate) fn unlink(&mut self, from: &From, to: &To) {
        let Some(all) = self.0.get_mut(to) else { return };
        all.remove(from);
        if all.is_empty() {
            self.0.remove(to);
        }
    }

    /// All that refer to a name.
    pub(crate) fn to(&self, name: &To) -> impl ExactSizeIterator<Item = &From> {
        self.0.get(name).map(BTreeSet::iter).unwrap_or_default()
    }
}
