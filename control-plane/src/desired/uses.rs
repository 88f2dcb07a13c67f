//! Who uses which Plugins, Pools, Secrets and ConfigMaps: Pools by their plugins, Plugins by their code and parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use weir_proto::model::{Key, Kind, ResourceName};

use crate::api::status::UsedBy;
use crate::contents::ContentKey;
use crate::references::References;

/// Pools that the status of a Plugin names.
const SHOWN: usize = 10;

/// What one resource uses.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Needs {
    pub(super) plugins: BTreeSet<ResourceName>,
    /// That parameters name.
    pub(super) pools: BTreeSet<ResourceName>,
    pub(super) contents: BTreeSet<ContentKey>,
}

impl Needs {
    /// All that either needs.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.plugins.extend(other.plugins);
        self.pools.extend(other.pools);
        self.contents.extend(other.contents);
        self
    }
}

/// What every resource uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    needs: BTreeMap<Key, Needs>,
    /// Plugin -> Pools.
    plugins: References<ResourceName>,
    pools: References<Key>,
    contents: References<Key, ContentKey>,
    changed: Needs,
}

impl Uses {
    /// From now on a resource uses these.
    pub(super) fn set(&mut self, key: &Key, needs: Needs) {
        let empty = Needs::default();
        let before = self.needs.get(key).unwrap_or(&empty);
        if *before == needs {
            return;
        }
        before.plugins.iter().for_each(|plugin| self.plugins.unlink(&key.name, plugin));
        before.pools.iter().for_each(|pool| self.pools.unlink(key, pool));
        before.contents.iter().for_each(|content| self.contents.unlink(key, content));
        needs.plugins.iter().for_each(|plugin| self.plugins.link(key.name.clone(), plugin.clone()));
        needs.pools.iter().for_each(|pool| self.pools.link(key.clone(), pool.clone()));
        needs.contents.iter().for_each(|content| self.contents.link(key.clone(), content.clone()));
        self.changed.plugins.extend(before.plugins.symmetric_difference(&needs.plugins).cloned());
        self.changed.contents.extend(before.contents.symmetric_difference(&needs.contents).cloned());
        if needs == empty {
            self.needs.remove(key);
        } else {
            self.needs.insert(key.clone(), needs);
        }
    }

    /// Those whose users are others since the last look.
    pub(super) fn take_changed(&mut self) -> Needs {
        mem::take(&mut self.changed)
    }

    /// The resources to look at again when something is different about a Secret or `ConfigMap`.
    pub(super) fn of_content(&self, content: &ContentKey) -> impl ExactSizeIterator<Item = &Key> {
        self.contents.to(content)
    }

    /// The resources whose parameters name a Pool, whether it exists or not.
    pub(super) fn of_pool(&self, pool: &ResourceName) -> impl ExactSizeIterator<Item = &Key> {
        self.pools.to(pool)
    }

    /// The Pools that use a Plugin, whether it exists or not.
    pub(super) fn of_plugin(&self, plugin: &ResourceName) -> impl ExactSizeIterator<Item = &ResourceName> {
        self.plugins.to(plugin)
    }

    /// The same for people; `None` of what is no Plugin.
    pub(super) fn used_by(&self, key: &Key) -> Option<UsedBy> {
        let pools = self.of_plugin(&key.name);
        let count = pools.len().try_into().unwrap_or(u32::MAX);
        let pools = pools.take(SHOWN).map(|pool| pool.name().to_owned()).collect();
        (key.kind == Kind::Plugin).then_some(UsedBy { count, pools })
    }
}
