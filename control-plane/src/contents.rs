//! The Secrets and ConfigMaps that resources name, and what is in them. Pure.
//!
//! Only those that are named are asked for, and nothing of what is in them is ever shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;
use std::sync::Arc;

use weir_proto::model::ResourceName;

/// What has contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// Names one Secret or ConfigMap. Displays as `Secret namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey {
    /// Which kind.
    pub kind: ContentKind,
    /// Which one.
    pub name: ResourceName,
}

/// What is in one, by key. Never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Content(Arc<BTreeMap<String, Vec<u8>>>);

/// What is known of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is there.
    There(Content),
    /// There is none.
    Missing,
    /// Nobody knows, for this reason.
    Unreadable(String),
}

/// Those that are asked for. A number that is another than before asks anew.
pub type Wanted = BTreeMap<ContentKey, u64>;

/// What is known of those that are named.
#[derive(Debug, Default)]
pub struct Contents {
    told: BTreeMap<ContentKey, Told>,
    changed: BTreeSet<ContentKey>,
    /// None where all there are were told at once.
    on_demand: Option<Demand>,
}

#[derive(Debug, Default)]
struct Demand {
    wanted: Wanted,
    asked: u64,
    has_changed: bool,
}

impl ContentKind {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Secret, Self::ConfigMap];

    /// As written in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// As in the names of [`weir_proto::model::Files`].
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }
}

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

impl Content {
    /// What is in it, by key.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }
}

impl From<BTreeMap<String, Vec<u8>>> for Content {
    fn from(entries: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Arc::new(entries))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Contents {
    /// For those of a cluster, which are told when they are asked for.
    #[must_use]
    pub fn on_demand() -> Self {
        Self { on_demand: Some(Demand::default()), ..Self::default() }
    }

    /// Takes in what is known of one.
    pub fn tell(&mut self, key: ContentKey, told: Told) {
        let is_wanted = self.on_demand.as_ref().is_none_or(|demand| demand.wanted.contains_key(&key));
        if is_wanted && self.told.get(&key) != Some(&told) {
            self.told.insert(key.clone(), told);
            self.changed.insert(key);
        }
    }

    /// What is known of one; `None` = not told yet.
    #[must_use]
    pub fn get(&self, key: &ContentKey) -> Option<&Told> {
        self.told.get(key).or_else(|| self.on_demand.is_none().then_some(&Told::Missing))
    }

    /// Those of which something else is known since the last look.
    pub fn take_changed(&mut self) -> BTreeSet<ContentKey> {
        mem::take(&mut self.changed)
    }

    /// Somebody names one now, or nobody does any more.
    pub fn want(&mut self, key: ContentKey, is_named: bool) {
        let Some(demand) = &mut self.on_demand else { return };
        if demand.wanted.contains_key(&key) == is_named {
            return;
        }
        demand.has_changed = true;
        if is_named {
            demand.asked += 1;
            demand.wanted.insert(key, demand.asked);
        } else {
            demand.wanted.remove(&key);
            self.told.remove(&key);
        }
    }

    /// Those that are asked for, if they are others since the last look.
    pub fn take_wanted(&mut self) -> Option<Wanted> {
        let demand = self.on_demand.as_mut()?;
        mem::take(&mut demand.has_changed).then(|| demand.wanted.clone())
    }

    /// Those that are asked for and were not told yet.
    pub fn awaited(&self) -> impl Iterator<Item = &ContentKey> {
        let wanted = self.on_demand.iter().flat_map(|demand| demand.wanted.keys());
        wanted.filter(|key| !self.told.contains_key(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    fn secret(text: &str) -> ContentKey {
        ContentKey { kind: ContentKind::Secret, name: name(text) }
    }

    fn there(value: &str) -> Told {
        Told::There(BTreeMap::from([("password".to_owned(), value.into())]).into())
    }

    #[test]
    fn what_is_in_a_secret_is_never_shown() {
        let shown = format!("{:?}", there("hunter2"));
        assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "nor as bytes: {shown}");
    }

    #[test]
    fn only_what_is_named_is_asked_for_and_known() {
        let mut contents = Contents::on_demand();
        contents.tell(secret("a"), there("x"));
        assert_eq!(contents.get(&secret("a")), None, "nobody asked");
        contents.want(secret("a"), true);
        assert_eq!(contents.awaited().count(), 1);
        contents.tell(secret("a"), there("x"));
        assert_eq!((contents.awaited().count(), contents.take_changed()), (0, [secret("a")].into()));
        contents.tell(secret("a"), there("x"));
        assert_eq!(contents.take_changed(), [].into());
        contents.want(secret("a"), false);
        assert_eq!(contents.get(&secret("a")), None);
        assert_eq!(contents.take_wanted(), Some(Wanted::new()));
        assert_eq!(contents.take_wanted(), None);
    }

    /// Whoever watches sees only the newest wishes: one that was dropped and is back must be told again.
    #[test]
    fn what_is_named_again_is_asked_for_anew() {
        let mut contents = Contents::on_demand();
        contents.want(secret("a"), true);
        let first = contents.take_wanted().unwrap();
        contents.want(secret("a"), false);
        contents.want(secret("a"), true);
        let second = contents.take_wanted().unwrap();
        assert_ne!(first[&secret("a")], second[&secret("a")]);
    }

    #[test]
    fn where_all_are_told_at_once_the_others_are_missing() {
        let mut contents = Contents::default();
        contents.want(secret("a"), true);
        assert_eq!(contents.get(&secret("a")), Some(&Told::Missing));
        assert_eq!(contents.take_wanted(), None);
        contents.tell(secret("a"), there("x"));
        assert_eq!(contents.get(&secret("a")), Some(&there("x")));
    }
}
