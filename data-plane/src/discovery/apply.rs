//! Applies deltas: decodes and validates off the request path, keeps what it holds, swaps the table once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tracing::{info, warn};
use weir_proto::convert::{self, Decoded};
use weir_proto::model::{Backend, Invalid, Key, Kind, Plugin, PluginRef, ResourceName};
use weir_proto::pb;
use weir_proto::version::Version;

use super::backends::Backends;
use crate::listener::Served;
use crate::plugin::wasm::Modules;
use crate::plugin::{Chain, Store};
use crate::pool::runtime::Environment;
use crate::pool::{Pool, PoolRuntime};
use crate::table::build::{self, Changed};
use crate::table::{Pools, TableHandle};
use crate::tls::CertificateStore;

/// A resource that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which one.
    pub key: Key,
    /// The version that was refused.
    pub version: Vec<u8>,
    /// Why, naming the field.
    pub reason: String,
}

/// Everything this proxy holds, and the way from it to the live table. Owned by the control thread.
#[derive(Debug)]
pub struct Applier {
    versions: BTreeMap<Key, Version>,
    pools: Pools,
    backends: Backends,
    plugins: Store,
    modules: Modules,
    certificates: CertificateStore,
    listeners: Arc<[Served]>,
    table: TableHandle,
    environment: Environment,
}

/// What became of a delta.
#[derive(Debug)]
pub struct Applied {
    /// What was refused, and is not held: the version held before, if any, stays in force.
    pub rejected: Vec<Rejected>,
    /// Pools that came, went or have other endpoints.
    pub pools: BTreeSet<ResourceName>,
    /// The DNS names in use, if they are others than before; after the first delta in any case.
    pub names: Option<BTreeSet<String>>,
}

/// What one delta touched.
#[derive(Debug, Default)]
struct Touched {
    pools: Changed,
    members: BTreeSet<ResourceName>,
}

impl Applier {
    /// Holds nothing; `listeners` are those of this process, in order. Components of Plugins are in
    /// `modules` before they are applied; certificates go to `certificates`.
    #[must_use]
    pub fn new(
        listeners: Arc<[Served]>,
        table: TableHandle,
        environment: Environment,
        modules: Modules,
        certificates: CertificateStore,
    ) -> Self {
        Self {
            versions: BTreeMap::new(),
            pools: Pools::default(),
            backends: Backends::default(),
            plugins: Store::new(environment.workers, modules.clone()),
            modules,
            certificates,
            listeners,
            table,
            environment,
        }
    }

    /// Where components are made ready.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Applies upserts and removals together and makes the result live.
    pub fn apply(&mut self, upserts: Vec<pb::Resource>, removed: Vec<pb::Key>) -> Applied {
        let mut touched = Touched::default();
        let rejected: Vec<Rejected> = upserts.into_iter().filter_map(|r| self.upsert(r, &mut touched).err()).collect();
        for key in removed {
            match Key::try_from(key) {
                Ok(key) => self.remove(&key, &mut touched),
                Err(error) => warn!(%error, "a removal names no resource"),
            }
        }
        self.go_live(&touched);
        self.plugins.sweep();
        let Touched { pools, mut members } = touched;
        members.extend(pools.into_keys().filter(|name| self.pools.get(name).is_none()));
        Applied { rejected, pools: members, names: self.backends.new_names() }
    }

    /// Takes the addresses of a DNS name; gives the pools that have other endpoints now.
    pub fn resolve(&mut self, name: &str, addresses: Vec<IpAddr>) -> BTreeSet<ResourceName> {
        let members = self.backends.resolve(name, addresses.clone());
        if !members.is_empty() {
            info!(name, ?addresses, "resolved");
        }
        let touched = Touched { members, ..Touched::default() };
        self.go_live(&touched);
        touched.members
    }

    /// What is held, for a new stream.
    #[must_use]
    pub fn held(&self) -> Vec<pb::Held> {
        self.versions
            .iter()
            .map(|(key, version)| pb::Held { key: Some(key.into()), version: version.to_wire() })
            .collect()
    }

    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter()
    }

    /// Names of all Plugins.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &ResourceName> {
        self.plugins.names()
    }

    /// All that is held, as the delta that would bring it to a proxy that holds nothing.
    #[must_use]
    pub fn export(&self) -> pb::Delta {
        let resource = |(key, version): (&Key, &Version)| {
            let body = match key.kind {
                Kind::Pool => (&*self.pools.get(&key.name)?.config).into(),
                Kind::Backend => (&**self.backends.get(&key.name)?).into(),
                Kind::Endpoints => (&self.backends.endpoints(&key.name)?).into(),
                Kind::Plugin => (&**self.plugins.get(&key.name)?).into(),
            };
            Some(pb::Resource { key: Some(key.into()), version: version.to_wire(), body: Some(body) })
        };
        pb::Delta { upserts: self.versions.iter().filter_map(resource).collect(), last: true, ..pb::Delta::default() }
    }

    fn upsert(&mut self, resource: pb::Resource, touched: &mut Touched) -> Result<(), Rejected> {
        let pb::Resource { key, version, body } = resource;
        let Some(key) = key.and_then(|key| Key::try_from(key).ok()) else {
            // Nothing could be said about it by name; the sender's bug is logged.
            warn!("a resource without a valid key was ignored");
            return Ok(());
        };
        let reject = |reason: String| Rejected { key: key.clone(), version: version.clone(), reason };
        let held = Version::from_wire(&version).ok_or_else(|| reject("version: has the wrong length".into()))?;
        let body = body.ok_or_else(|| reject("body: is missing or of a kind unknown to this version".into()))?;
        match convert::decode(&key, body).map_err(|e| reject(e.to_string()))? {
            Decoded::Pool(pool) => self.put_pool(Arc::new(*pool), touched).map_err(|e| reject(e.to_string()))?,
            Decoded::Plugin(plugin) => self.put_plugin(*plugin, touched).map_err(|e| reject(e.to_string()))?,
            Decoded::Backend(backend) => {
                self.backends.put(Arc::new(*backend), &mut touched.members).map_err(|e| reject(e.to_string()))?;
            }
            Decoded::Endpoints(endpoints) => self.backends.put_endpoints(*endpoints, &mut touched.members),
        }
        self.versions.insert(key, held);
        Ok(())
    }

    fn put_pool(&mut self, config: Arc<weir_proto::model::Pool>, touched: &mut Touched) -> Result<(), Invalid> {
        self.check_listeners(&config)?;
        let name = config.name.clone();
        let previous = self.pools.get(&name);
        let plugins = self.plugins.chain(&config, previous.and_then(|pool| pool.plugins.as_deref()))?;
        self.certificates.put_pool(&config)?;
        touched.pools.entry(name.clone()).or_insert_with(|| previous.cloned());
        let runtime = match previous {
            Some(previous) => {
                previous.runtime.configure(config.clone());
                previous.runtime.clone()
            }
            None => {
                touched.members.insert(name);
                PoolRuntime::new(config.clone(), self.environment.clone())
            }
        };
        self.pools.insert(Arc::new(Pool::new(config, runtime).with_plugins(plugins)));
        Ok(())
    }

    /// A pool may name listeners that other proxies have, but not one of this proxy that speaks another protocol.
    fn check_listeners(&self, config: &weir_proto::model::Pool) -> Result<(), Invalid> {
        for (place, name) in config.listeners.iter().enumerate() {
            let listener = self.listeners.iter().find(|listener| listener.name == *name);
            if let Some(Served { protocol, .. }) = listener.filter(|listener| listener.protocol != config.protocol) {
                let reason = format!("{name} is a listener of {protocol}, the Pool is of {}", config.protocol);
                return Err(Invalid::new(format!("spec.listeners[{place}]"), reason));
            }
        }
        Ok(())
    }

    /// The pools that use it get another chain.
    fn put_plugin(&mut self, plugin: Plugin, touched: &mut Touched) -> Result<(), Invalid> {
        let name = plugin.name.clone();
        self.plugins.put(plugin)?;
        self.link_again(&name, touched);
        Ok(())
    }

    fn remove_plugin(&mut self, name: &ResourceName, touched: &mut Touched) {
        self.plugins.remove(name);
        self.link_again(name, touched);
    }

    /// A pool whose parameter the plugin's new version refuses has no chain that could protect it.
    fn link_again(&mut self, plugin: &ResourceName, touched: &mut Touched) {
        let uses = |pool: &&Arc<Pool>| pool.config.plugins.iter().any(|u| u.plugin == PluginRef::Named(plugin.clone()));
        let users: Vec<Arc<Pool>> = self.pools.iter().filter(uses).cloned().collect();
        for pool in users {
            let chain = self.plugins.chain(&pool.config, pool.plugins.as_deref()).unwrap_or_else(|error| {
                warn!(pool = %pool.config.name, %error, "a plugin's new version does not fit the pool");
                Some(Arc::new(Chain::new(Vec::new(), vec![plugin.to_string()])))
            });
            let next = Pool::new(pool.config.clone(), pool.runtime.clone()).with_plugins(chain);
            touched.pools.entry(pool.config.name.clone()).or_insert(Some(pool));
            self.pools.insert(Arc::new(next));
        }
    }

    fn remove(&mut self, key: &Key, touched: &mut Touched) {
        self.versions.remove(key);
        match key.kind {
            Kind::Pool => {
                self.certificates.remove_pool(&key.name);
                if let Some(pool) = self.pools.remove(&key.name) {
                    touched.pools.entry(key.name.clone()).or_insert(Some(pool));
                }
            }
            Kind::Backend => self.backends.remove(&key.name, &mut touched.members),
            Kind::Endpoints => self.backends.remove_endpoints(&key.name, &mut touched.members),
            Kind::Plugin => self.remove_plugin(&key.name, touched),
        }
    }

    /// What pools gain goes first: a pool in the new table never lacks the endpoints that came with it. What
    /// they lose goes last: until the swap, nobody else may have it.
    fn go_live(&self, touched: &Touched) {
        self.certificates.publish();
        let live = self.table.load();
        let pools = touched.members.iter().filter_map(|name| self.pools.get(name));
        let targets = |pool: &Arc<Pool>| self.backends.targets(&pool.config.name);
        // One pool whose endpoints alone are others: nobody gains what it loses.
        let alone = touched.pools.is_empty() && touched.members.len() == 1;
        let losing: Vec<_> = pools.filter(|pool| alone || pool.runtime.add_members(targets(pool))).collect();
        // The first delta makes a table of it even if it is empty.
        if !touched.pools.is_empty() || live.listeners.is_empty() {
            let next = build::build(self.pools.clone(), &touched.pools, &self.listeners, &live);
            self.table.store(Arc::new(next));
        }
        losing.iter().for_each(|pool| pool.runtime.set_members(targets(pool)));
        let before = touched.pools.values().flatten();
        let removed = before.filter(|pool| self.pools.get(&pool.config.name).is_none());
        removed.for_each(|pool| pool.runtime.retire());
    }
}
