//! Applies deltas: decodes and validates off the request path, keeps what it holds, swaps the table once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tracing::{info, warn};
use weir_proto::convert::{self, Decoded};
use weir_proto::model::{Address, Backend, Endpoints, Key, Kind, ResourceName};
use weir_proto::pb;
use weir_proto::version::Version;

use crate::pool::members::Target;
use crate::pool::runtime::Environment;
use crate::pool::{Pool, PoolRuntime};
use crate::table::{TableHandle, build};

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
    pools: BTreeMap<ResourceName, Arc<Pool>>,
    backends: BTreeMap<ResourceName, Arc<Backend>>,
    /// By the name of their Backend, whether it exists or not.
    endpoints: BTreeMap<ResourceName, Endpoints>,
    /// Backends of each pool that is named by one, whether the pool exists or not.
    by_pool: HashMap<ResourceName, BTreeSet<ResourceName>>,
    resolved: HashMap<String, Vec<IpAddr>>,
    listeners: Vec<String>,
    table: TableHandle,
    environment: Environment,
}

/// What one delta touched.
#[derive(Debug, Default)]
struct Touched {
    routes: bool,
    members: BTreeSet<ResourceName>,
    removed: Vec<Arc<Pool>>,
}

impl Applier {
    /// Holds nothing; `listeners` are the names of this process's listeners, in order.
    #[must_use]
    pub fn new(listeners: Vec<String>, table: TableHandle, environment: Environment) -> Self {
        Self {
            versions: BTreeMap::new(),
            pools: BTreeMap::new(),
            backends: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            by_pool: HashMap::new(),
            resolved: HashMap::new(),
            listeners,
            table,
            environment,
        }
    }

    /// Applies upserts and removals together and makes the result live. What is refused is returned and
    /// not held: the version held before, if any, stays in force.
    pub fn apply(&mut self, upserts: Vec<pb::Resource>, removed: Vec<pb::Key>) -> Vec<Rejected> {
        // The first delta makes a table of it even if it is empty.
        let mut touched = Touched { routes: self.table.load().listeners.is_empty(), ..Touched::default() };
        let rejected: Vec<Rejected> = upserts.into_iter().filter_map(|r| self.upsert(r, &mut touched).err()).collect();
        for key in removed {
            match Key::try_from(key) {
                Ok(key) => self.remove(&key, &mut touched),
                Err(error) => warn!(%error, "a removal names no resource"),
            }
        }
        self.go_live(touched);
        rejected
    }

    /// Takes the addresses of a DNS name; true if they are others than before.
    pub fn resolve(&mut self, name: &str, addresses: Vec<IpAddr>) -> bool {
        if self.resolved.get(name) == Some(&addresses) {
            return false;
        }
        info!(name, ?addresses, "resolved");
        self.resolved.insert(name.to_owned(), addresses);
        let named = |b: &&Arc<Backend>| matches!(&b.address, Address::Name(n, _) if n == name);
        let members = self.backends.values().filter(named).map(|b| b.pool.clone()).collect();
        self.go_live(Touched { members, ..Touched::default() });
        true
    }

    /// The DNS names in use.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let name = |b: &Arc<Backend>| match &b.address {
            Address::Name(name, _) => Some(name.clone()),
            Address::Socket(_) | Address::Service => None,
        };
        self.backends.values().filter_map(name).collect()
    }

    /// Forgets the addresses of all other names.
    pub fn forget_names(&mut self, in_use: &BTreeSet<String>) {
        self.resolved.retain(|name, _| in_use.contains(name));
    }

    /// What is held, for a new stream.
    #[must_use]
    pub fn held(&self) -> Vec<pb::Held> {
        self.versions
            .iter()
            .map(|(key, version)| pb::Held { key: Some(key.into()), version: version.to_wire() })
            .collect()
    }

    /// All that is held, as the delta that would bring it to a proxy that holds nothing.
    #[must_use]
    pub fn export(&self) -> pb::Delta {
        let resource = |(key, version): (&Key, &Version)| {
            let body = match key.kind {
                Kind::Pool => (&*self.pools.get(&key.name)?.config).into(),
                Kind::Backend => (&**self.backends.get(&key.name)?).into(),
                Kind::Endpoints => self.endpoints.get(&key.name)?.into(),
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
            Decoded::Pool(pool) => self.put_pool(Arc::new(*pool), touched),
            Decoded::Backend(backend) => self.put_backend(Arc::new(*backend), touched),
            Decoded::Endpoints(endpoints) => self.put_endpoints(*endpoints, touched),
        }
        self.versions.insert(key, held);
        Ok(())
    }

    fn put_pool(&mut self, config: Arc<weir_proto::model::Pool>, touched: &mut Touched) {
        touched.routes = true;
        let name = config.name.clone();
        let runtime = match self.pools.get(&name) {
            Some(previous) => {
                previous.runtime.configure(config.clone());
                previous.runtime.clone()
            }
            None => {
                touched.members.insert(name.clone());
                PoolRuntime::new(config.clone(), self.environment.clone())
            }
        };
        self.pools.insert(name, Arc::new(Pool::new(config, runtime)));
    }

    fn put_backend(&mut self, backend: Arc<Backend>, touched: &mut Touched) {
        let (name, pool) = (backend.name.clone(), backend.pool.clone());
        if let Some(previous) = self.backends.insert(name.clone(), backend) {
            self.unlink(&name, &previous.pool, touched);
        }
        self.by_pool.entry(pool.clone()).or_default().insert(name);
        touched.members.insert(pool);
    }

    fn put_endpoints(&mut self, endpoints: Endpoints, touched: &mut Touched) {
        touched.members.extend(self.pool_of(&endpoints.name));
        self.endpoints.insert(endpoints.name.clone(), endpoints);
    }

    fn pool_of(&self, backend: &ResourceName) -> Option<ResourceName> {
        self.backends.get(backend).map(|backend| backend.pool.clone())
    }

    fn remove(&mut self, key: &Key, touched: &mut Touched) {
        self.versions.remove(key);
        match key.kind {
            Kind::Pool => {
                if let Some(pool) = self.pools.remove(&key.name) {
                    touched.removed.push(pool);
                    touched.routes = true;
                }
            }
            Kind::Backend => {
                if let Some(backend) = self.backends.remove(&key.name) {
                    self.unlink(&key.name, &backend.pool, touched);
                }
            }
            Kind::Endpoints => {
                if self.endpoints.remove(&key.name).is_some() {
                    touched.members.extend(self.pool_of(&key.name));
                }
            }
        }
    }

    fn unlink(&mut self, backend: &ResourceName, pool: &ResourceName, touched: &mut Touched) {
        if let Some(backends) = self.by_pool.get_mut(pool) {
            backends.remove(backend);
            if backends.is_empty() {
                self.by_pool.remove(pool);
            }
        }
        touched.members.insert(pool.clone());
    }

    /// What pools gain goes first: a pool in the new table never lacks the endpoints that came with it. What
    /// they lose goes last: until the swap, nobody else may have it.
    fn go_live(&self, touched: Touched) {
        let pools = touched.members.iter().filter_map(|name| self.pools.get(name));
        let losing: Vec<_> = pools.filter(|pool| pool.runtime.add_members(self.targets(&pool.config.name))).collect();
        if touched.routes {
            let next = build::build(&self.pools, &self.listeners, &self.table.load());
            self.table.store(Arc::new(next));
        }
        losing.iter().for_each(|pool| pool.runtime.set_members(self.targets(&pool.config.name)));
        touched.removed.iter().for_each(|pool| pool.runtime.retire());
    }

    fn targets(&self, pool: &ResourceName) -> Vec<Target> {
        let names = self.by_pool.get(pool).into_iter().flatten();
        let backends = names.filter_map(|name| self.backends.get(name));
        backends.flat_map(|b| self.addresses(b).into_iter().map(|address| (b.clone(), address))).collect()
    }

    fn addresses(&self, backend: &Backend) -> Vec<SocketAddr> {
        match &backend.address {
            Address::Socket(address) => vec![*address],
            Address::Name(name, port) => {
                let ips = self.resolved.get(name).into_iter().flatten();
                ips.map(|ip| SocketAddr::new(*ip, *port)).collect()
            }
            Address::Service => {
                let endpoints = self.endpoints.get(&backend.name).into_iter().flat_map(|e| &e.endpoints);
                endpoints.map(|endpoint| endpoint.address).collect()
            }
        }
    }
}
