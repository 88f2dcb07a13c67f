//! What lints look at: all resources in force, complete as proxies get them.

use std::collections::BTreeMap;

use prost::Message;
use weir_proto::convert::{self, Decoded};
use weir_proto::model::plugin::{Code, PluginRef};
use weir_proto::model::{Backend, BuiltIn, Param, Plugin, PluginUse, Pool, ResourceName};
use weir_proto::pb;

use crate::snapshot::Snapshot;

/// Resources by name. What a Pool inherits is in it.
#[derive(Debug, Default)]
pub struct Resources {
    pools: BTreeMap<ResourceName, Pool>,
    /// By their Pools.
    backends: BTreeMap<ResourceName, Vec<Backend>>,
    plugins: BTreeMap<ResourceName, Plugin>,
}

impl Resources {
    /// Those of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut all = Self::default();
        for (key, entry) in snapshot.entries() {
            let body = pb::Resource::decode(entry.encoded.clone()).ok().and_then(|resource| resource.body);
            // This process has encoded it.
            match body.and_then(|body| convert::decode(key, body).ok()) {
                Some(Decoded::Pool(pool)) => drop(all.pools.insert(pool.name.clone(), *pool)),
                Some(Decoded::Plugin(plugin)) => drop(all.plugins.insert(plugin.name.clone(), *plugin)),
                Some(Decoded::Backend(backend)) => {
                    all.backends.entry(backend.pool.clone()).or_default().push(*backend);
                }
                Some(Decoded::Endpoints(_)) | None => {}
            }
        }
        all
    }

    /// Every Pool.
    pub(super) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    /// The Backends of a Pool.
    pub(super) fn backends(&self, pool: &Pool) -> &[Backend] {
        self.backends.get(&pool.name).map_or(&[], Vec::as_slice)
    }

    /// The built-in plugins of a Pool, by their places: of a script nobody knows what it does.
    pub(super) fn plugins<'a>(&'a self, pool: &'a Pool) -> impl DoubleEndedIterator<Item = (usize, Param)> {
        let param = |used: &PluginUse| Param::parse(self.type_of(used)?, &used.param, &used.files).ok();
        pool.plugins.iter().enumerate().filter_map(move |(place, used)| Some((place, param(used)?)))
    }

    /// The built-in type of a plugin.
    pub(super) fn type_of(&self, used: &PluginUse) -> Option<BuiltIn> {
        match &used.plugin {
            PluginRef::InPlace(built_in) => Some(*built_in),
            PluginRef::Named(name) => match self.plugins.get(name)?.code {
                Code::BuiltIn(built_in) => Some(built_in),
                Code::Lua(_) | Code::Wasm(_) => None,
            },
        }
    }

    /// Whether a plugin of a Pool may answer every request that comes to it: it does, or is a script.
    pub(super) fn may_answer_all(&self, pool: &Pool) -> bool {
        self.answers_all(pool).is_some() || pool.plugins.iter().any(|used| self.type_of(used).is_none())
    }

    /// The first plugin of a Pool that answers every request that comes to it, and what it is.
    pub(super) fn answers_all(&self, pool: &Pool) -> Option<(usize, BuiltIn)> {
        let answers = |param: &Param| match param {
            Param::Respond(_) => Some(BuiltIn::Respond),
            Param::Redirect(_) => Some(BuiltIn::Redirect),
            Param::Fault(fault) => fault.abort.as_ref().filter(|abort| abort.percent >= 100.0).map(|_| BuiltIn::Fault),
            _ => None,
        };
        self.plugins(pool).find_map(|(place, param)| Some((place, answers(&param)?)))
    }
}
