//! Which missing resources nobody may take for deleted.

use std::collections::BTreeSet;

use weir_proto::model::{Key, Kind, ResourceName};

/// Resources that may well exist, though no usable version of them is at hand: whoever holds one keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// These, and no others.
    Only(BTreeSet<Key>),
    /// Each and every one.
    All,
}

impl Default for Keep {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Keep {
    /// Whatever has this name.
    #[must_use]
    pub fn named(name: &ResourceName) -> Self {
        Self::Only(Kind::GIVEN.map(|kind| Key { kind, name: name.clone() }).into())
    }

    /// Whether a resource is among them. Endpoints go with their Backend; Plugins with any Pool of their namespace, as
    /// nobody knows which of them its last good version uses.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        match self {
            Self::Only(keys) if key.kind == Kind::Endpoints => keys.contains(&Key::backend(key.name.clone())),
            Self::Only(keys) if key.kind == Kind::Plugin => {
                let may_use = |kept: &Key| kept.kind == Kind::Pool && kept.name.namespace() == key.name.namespace();
                keys.contains(key) || keys.iter().any(may_use)
            }
            Self::Only(keys) => keys.contains(key),
            Self::All => true,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(keys) if keys.is_empty())
    }

    /// Those of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut keys), Self::Only(others)) => {
                keys.extend(others);
                Self::Only(keys)
            }
            _ => Self::All,
        }
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        match self {
            Self::All => other.clone(),
            Self::Only(keys) => Self::Only(keys.into_iter().filter(|key| other.covers(key)).collect()),
        }
    }

    /// These without those that are accounted for; all stay all.
    #[must_use]
    pub fn without(self, known: impl Fn(&Key) -> bool) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(keys) => Self::Only(keys.into_iter().filter(|key| !known(key)).collect()),
        }
    }
}
