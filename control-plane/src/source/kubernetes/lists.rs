//! What is told of one kind: from the steps of a watch in each namespace to whole lists and single changes.
//! Pure.
//!
//! A list is told when it is complete, never in parts: half a list looks like mass deletion. The first lists of
//! all namespaces are told as one.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use kube::runtime::watcher::Event;
use weir_proto::model::ResourceName;

/// An object, reduced to what is kept of it.
pub(super) type Named<T> = (ResourceName, T);

/// What is to be told.
#[derive(Debug, PartialEq)]
pub(super) enum Told<T> {
    /// New or changed.
    Applied(Named<T>),
    /// Gone.
    Gone(ResourceName),
    /// All there are, or all of one namespace: others are gone.
    All(Option<Arc<str>>, BTreeMap<ResourceName, T>),
}

/// The watches of one kind.
#[derive(Debug)]
pub(super) struct Lists<T> {
    watches: Vec<Watch<T>>,
    /// Whether the first lists are told.
    has_begun: bool,
}

#[derive(Debug)]
struct Watch<T> {
    /// `None` = the whole cluster.
    namespace: Option<Arc<str>>,
    /// The list that is coming in.
    list: BTreeMap<ResourceName, T>,
    is_listing: bool,
}

impl<T> Lists<T> {
    /// One watch for each of these.
    pub(super) fn new(namespaces: impl IntoIterator<Item = Option<Arc<str>>>) -> Self {
        let watch = |namespace| Watch { namespace, list: BTreeMap::new(), is_listing: true };
        Self { watches: namespaces.into_iter().map(watch).collect(), has_begun: false }
    }

    /// Takes a step of the watch with this place; objects without a usable name are left out.
    pub(super) fn step(&mut self, place: usize, event: Event<Option<Named<T>>>) -> Option<Told<T>> {
        let watch = self.watches.get_mut(place)?;
        match event {
            Event::Init => {
                watch.list.clear();
                watch.is_listing = true;
                None
            }
            Event::InitApply(object) => {
                watch.list.extend(object);
                None
            }
            Event::InitDone => {
                watch.is_listing = false;
                self.listed(place)
            }
            // Until all namespaces are there, what comes after a list belongs to it.
            Event::Apply(object) if !self.has_begun => {
                watch.list.extend(object);
                None
            }
            Event::Delete(object) if !self.has_begun => {
                watch.list.remove(&object?.0);
                None
            }
            Event::Apply(object) => object.map(Told::Applied),
            Event::Delete(object) => object.map(|(name, _)| Told::Gone(name)),
        }
    }

    fn listed(&mut self, place: usize) -> Option<Told<T>> {
        if self.has_begun {
            let watch = self.watches.get_mut(place)?;
            return Some(Told::All(watch.namespace.clone(), mem::take(&mut watch.list)));
        }
        if self.watches.iter().any(|watch| watch.is_listing) {
            return None;
        }
        self.has_begun = true;
        Some(Told::All(None, self.watches.iter_mut().flat_map(|watch| mem::take(&mut watch.list)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, value: u8) -> Option<Named<u8>> {
        Some((name.parse().unwrap(), value))
    }

    fn all(namespace: Option<&str>, list: &[(&str, u8)]) -> Option<Told<u8>> {
        Some(Told::All(namespace.map(Into::into), list.iter().filter_map(|(n, v)| named(n, *v)).collect()))
    }

    fn lists(namespaces: &[&str]) -> Lists<u8> {
        Lists::new(namespaces.iter().map(|n| Some(Arc::from(*n))))
    }

    #[test]
    fn rule_1_nothing_is_told_before_the_list_of_every_namespace_is_complete() {
        let mut lists = lists(&["a", "b"]);
        for event in [Event::Init, Event::InitApply(named("a/x", 1)), Event::InitDone, Event::Apply(named("a/y", 2))] {
            assert_eq!(lists.step(0, event), None);
        }
        for event in [Event::Delete(named("a/x", 1)), Event::Apply(named("a/z", 3)), Event::Apply(named("a/z", 4))] {
            assert_eq!(lists.step(0, event), None);
        }
        for event in [Event::Init, Event::InitApply(named("b/x", 5))] {
            assert_eq!(lists.step(1, event), None);
        }
        assert_eq!(lists.step(1, Event::InitDone), all(None, &[("a/y", 2), ("a/z", 4), ("b/x", 5)]));
        assert_eq!(lists.step(0, Event::Apply(named("a/x", 6))), named("a/x", 6).map(Told::Applied));
        assert_eq!(lists.step(1, Event::Delete(named("b/x", 5))), Some(Told::Gone("b/x".parse().unwrap())));
    }

    #[test]
    fn rule_1_a_first_list_that_begins_again_is_not_complete() {
        let mut lists = lists(&["a", "b"]);
        for event in [Event::Init, Event::InitApply(named("a/x", 1)), Event::InitDone, Event::Init] {
            assert_eq!(lists.step(0, event), None);
        }
        for event in [Event::Init, Event::InitDone] {
            assert_eq!(lists.step(1, event), None);
        }
        assert_eq!(lists.step(0, Event::InitDone), all(None, &[]));
    }

    #[test]
    fn s5_a_new_list_is_told_when_it_is_complete_and_for_its_namespace_alone() {
        let mut lists = lists(&["a", "b"]);
        for place in [0, 1] {
            lists.step(place, Event::Init);
            lists.step(place, Event::InitDone);
        }
        for event in [Event::Init, Event::InitApply(named("a/x", 1)), Event::Init, Event::InitApply(named("a/y", 2))] {
            assert_eq!(lists.step(0, event), None);
        }
        assert_eq!(lists.step(0, Event::InitDone), all(Some("a"), &[("a/y", 2)]));
    }

    #[test]
    fn s1_what_has_no_usable_name_is_left_out() {
        let mut lists = lists(&["a"]);
        for event in [Event::Init, Event::InitApply(None), Event::InitApply(named("a/x", 1))] {
            assert_eq!(lists.step(0, event), None);
        }
        assert_eq!(lists.step(0, Event::InitDone), all(None, &[("a/x", 1)]));
        assert_eq!(lists.step(0, Event::Apply(None)), None);
    }
}
