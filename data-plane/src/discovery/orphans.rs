//! Resources that nothing leads to, or that lead to nothing.

use std::collections::HashSet;

use serde::Serialize;
use weir_proto::model::{PluginRef, ResourceName};

use super::apply::Applier;

/// Names, as `namespace/name`, in their order.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// Pools that no Backend names.
    pub pools: Vec<String>,
    /// Backends whose Pool is not there.
    pub backends: Vec<String>,
    /// Plugins that no Pool uses.
    pub plugins: Vec<String>,
}

impl Applier {
    /// Of what is held.
    #[must_use]
    pub fn orphans(&self) -> Orphans {
        let (pools, backends) = (self.pools(), self.backends());
        let named: HashSet<&ResourceName> = backends.map(|backend| &backend.pool).collect();
        let used: HashSet<&ResourceName> =
            pools.iter().flat_map(|pool| &pool.config.plugins).filter_map(|used| named_plugin(&used.plugin)).collect();
        let pool_names = pools.iter().map(|pool| &pool.config.name);
        let lost = self.backends().filter(|backend| pools.get(&backend.pool).is_none());
        Orphans {
            pools: texts(pool_names.filter(|name| !named.contains(name))),
            backends: texts(lost.map(|backend| &backend.name)),
            plugins: texts(self.plugins().filter(|name| !used.contains(name))),
        }
    }
}

fn named_plugin(plugin: &PluginRef) -> Option<&ResourceName> {
    match plugin {
        PluginRef::Named(name) => Some(name),
        PluginRef::InPlace(_) => None,
    }
}

fn texts<'a>(names: impl Iterator<Item = &'a ResourceName>) -> Vec<String> {
    names.map(ToString::to_string).collect()
}
