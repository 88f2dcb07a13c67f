//! Every Backend and the addresses that it stands for: its own, those that DNS told, or those of its Service.
//! Any of these may be known before the others. Pure; says of each change which pools it concerns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weir_proto::model::{Address, Backend, Endpoints, Invalid, ResourceName, ServiceEndpoint};

use crate::pool::Target;
use crate::upstream::tls::Terms;

/// What pools get their endpoints from.
#[derive(Debug, Default)]
pub(super) struct Backends {
    all: BTreeMap<ResourceName, Arc<Backend>>,
    /// Of those that speak TLS.
    terms: HashMap<ResourceName, Arc<Terms>>,
    /// Backends of each pool that is named by one, whether the pool exists or not.
    by_pool: HashMap<ResourceName, BTreeSet<ResourceName>>,
    /// By the name of the Backend, whether it exists or not.
    services: HashMap<ResourceName, Vec<Arc<ServiceEndpoint>>>,
    /// Each DNS name in use.
    names: HashMap<String, Name>,
    /// `names` has the keys that [`Backends::new_names`] gave last.
    names_told: bool,
}

/// A DNS name.
#[derive(Debug, Default)]
struct Name {
    users: BTreeSet<ResourceName>,
    addresses: Vec<IpAddr>,
}

impl Backends {
    /// Takes a Backend, or another version of it.
    ///
    /// # Errors
    /// Names the field that the library of TLS refuses; the version before stays.
    pub(super) fn put(&mut self, backend: Arc<Backend>, pools: &mut BTreeSet<ResourceName>) -> Result<(), Invalid> {
        self.put_terms(&backend)?;
        let name = backend.name.clone();
        let previous = self.all.insert(name.clone(), backend.clone());
        // The new links first: what both versions use stays known.
        self.link(&backend);
        if let Some(previous) = previous {
            self.unlink(&previous, Some(&backend));
            pools.insert(previous.pool.clone());
        }
        pools.insert(backend.pool.clone());
        Ok(())
    }

    /// Terms stay the same as long as what they are made of does: connections that go by them are good, then.
    fn put_terms(&mut self, backend: &Backend) -> Result<(), Invalid> {
        let Some(tls) = &backend.tls else {
            self.terms.remove(&backend.name);
            return Ok(());
        };
        if self.terms.get(&backend.name).is_none_or(|terms| terms.settings() != tls) {
            self.terms.insert(backend.name.clone(), Arc::new(Terms::new(tls.clone())?));
        }
        Ok(())
    }

    /// Forgets a Backend.
    pub(super) fn remove(&mut self, name: &ResourceName, pools: &mut BTreeSet<ResourceName>) {
        self.terms.remove(name);
        if let Some(backend) = self.all.remove(name) {
            self.unlink(&backend, None);
            pools.insert(backend.pool.clone());
        }
    }

    /// Takes the endpoints of the Service that a Backend names.
    pub(super) fn put_endpoints(&mut self, endpoints: Endpoints, pools: &mut BTreeSet<ResourceName>) {
        let Endpoints { name, endpoints } = endpoints;
        pools.extend(self.pool_of(&name));
        self.services.insert(name, endpoints.into_iter().map(Arc::new).collect());
    }

    /// Forgets the endpoints of the Service that a Backend names.
    pub(super) fn remove_endpoints(&mut self, name: &ResourceName, pools: &mut BTreeSet<ResourceName>) {
        if self.services.remove(name).is_some() {
            pools.extend(self.pool_of(name));
        }
    }

    /// Takes the addresses of a DNS name; gives the pools that it concerns, none if nothing is different.
    pub(super) fn resolve(&mut self, name: &str, addresses: Vec<IpAddr>) -> BTreeSet<ResourceName> {
        let Some(known) = self.names.get_mut(name).filter(|known| known.addresses != addresses) else {
            return BTreeSet::new();
        };
        known.addresses = addresses;
        let users = known.users.iter().filter_map(|user| self.all.get(user));
        users.map(|backend| backend.pool.clone()).collect()
    }

    /// The DNS names in use, if they are others than when this was last asked, or this is the first time.
    pub(super) fn new_names(&mut self) -> Option<BTreeSet<String>> {
        let told = std::mem::replace(&mut self.names_told, true);
        (!told).then(|| self.names.keys().cloned().collect())
    }

    /// Every Backend.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Backend> {
        self.all.values().map(|backend| &**backend)
    }

    /// One Backend.
    pub(super) fn get(&self, name: &ResourceName) -> Option<&Arc<Backend>> {
        self.all.get(name)
    }

    /// The endpoints of the Service that a Backend names.
    pub(super) fn endpoints(&self, name: &ResourceName) -> Option<Endpoints> {
        let endpoints = self.services.get(name)?.iter().map(|endpoint| (**endpoint).clone());
        Some(Endpoints { name: name.clone(), endpoints: endpoints.collect() })
    }

    /// What a pool shall have.
    pub(super) fn targets(&self, pool: &ResourceName) -> Vec<Target> {
        let names = self.by_pool.get(pool).into_iter().flatten();
        names
            .filter_map(|name| self.all.get(name))
            .flat_map(|backend| {
                self.targets_of(backend).into_iter().map(|target| target.within(self.terms.get(&backend.name)))
            })
            .collect()
    }

    fn targets_of(&self, backend: &Arc<Backend>) -> Vec<Target> {
        let target = |address| Target::new(backend.clone(), address);
        match &backend.address {
            Address::Fixed(address) => vec![target(address.clone())],
            Address::Name(name, port) => {
                let ips = self.names.get(name).into_iter().flat_map(|name| &name.addresses);
                ips.map(|ip| target(SocketAddr::new(*ip, *port).into())).collect()
            }
            Address::Service => {
                let endpoints = self.services.get(&backend.name).into_iter().flatten();
                endpoints.map(|endpoint| Target::of_service(backend.clone(), endpoint.clone())).collect()
            }
        }
    }

    fn pool_of(&self, backend: &ResourceName) -> Option<ResourceName> {
        self.all.get(backend).map(|backend| backend.pool.clone())
    }

    fn link(&mut self, backend: &Backend) {
        self.by_pool.entry(backend.pool.clone()).or_default().insert(backend.name.clone());
        if let Address::Name(name, _) = &backend.address {
            self.names_told &= self.names.contains_key(name);
            self.names.entry(name.clone()).or_default().users.insert(backend.name.clone());
        }
    }

    /// Takes back what `old` linked, but for what its new version links too.
    fn unlink(&mut self, old: &Backend, new: Option<&Backend>) {
        if new.is_none_or(|new| new.pool != old.pool)
            && let Some(backends) = self.by_pool.get_mut(&old.pool)
        {
            backends.remove(&old.name);
            if backends.is_empty() {
                self.by_pool.remove(&old.pool);
            }
        }
        if let Address::Name(name, _) = &old.address
            && new.is_none_or(|new| !is_at(new, name))
        {
            self.unlink_name(name, &old.name);
        }
    }

    fn unlink_name(&mut self, name: &str, user: &ResourceName) {
        if let Some(known) = self.names.get_mut(name) {
            known.users.remove(user);
            if known.users.is_empty() {
                self.names.remove(name);
                self.names_told = false;
            }
        }
    }
}

fn is_at(backend: &Backend, name: &str) -> bool {
    matches!(&backend.address, Address::Name(other, _) if other == name)
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Role;

    use super::*;

    fn name(text: &str) -> ResourceName {
        text.parse().unwrap()
    }

    fn backend(pool: &str, address: Address) -> Arc<Backend> {
        Arc::new(Backend {
            name: name("a/x"),
            pool: name(pool),
            address,
            weight: 1,
            enabled: true,
            labels: BTreeMap::new(),
            score: 0,
            role: Role::default(),
            capacity: 0,
            protocol: Default::default(),
            proxy_protocol: None,
            tls: None,
        })
    }

    fn at(dns: &str) -> Arc<Backend> {
        backend("a/web", Address::Name(dns.to_owned(), 80))
    }

    fn endpoints(ports: &[u16]) -> Endpoints {
        let endpoint = |port: &u16| ServiceEndpoint {
            address: ([10, 0, 0, 1], *port).into(),
            terminating: false,
            labels: BTreeMap::new(),
        };
        Endpoints { name: name("a/x"), endpoints: ports.iter().map(endpoint).collect() }
    }

    /// The pools that a change concerns.
    fn concerned(change: impl FnOnce(&mut BTreeSet<ResourceName>)) -> Vec<String> {
        let mut pools = BTreeSet::new();
        change(&mut pools);
        pools.iter().map(ToString::to_string).collect()
    }

    fn ports(backends: &Backends, pool: &str) -> Vec<u16> {
        backends.targets(&name(pool)).iter().map(|target| target.address.socket().unwrap().port()).collect()
    }

    #[test]
    fn u1_endpoints_may_come_before_their_backend_and_after_it() {
        let mut backends = Backends::default();
        assert!(concerned(|pools| backends.put_endpoints(endpoints(&[1, 2]), pools)).is_empty());
        assert_eq!(concerned(|pools| backends.put(backend("a/web", Address::Service), pools).unwrap()), ["a/web"]);
        assert_eq!(ports(&backends, "a/web"), [1, 2]);
        assert_eq!(concerned(|pools| backends.put_endpoints(endpoints(&[3]), pools)), ["a/web"]);
        assert_eq!(ports(&backends, "a/web"), [3]);
        assert_eq!(backends.endpoints(&name("a/x")), Some(endpoints(&[3])));
    }

    #[test]
    fn u1_either_may_go_first_and_come_back() {
        let mut backends = Backends::default();
        concerned(|pools| backends.put(backend("a/web", Address::Service), pools).unwrap());
        concerned(|pools| backends.put_endpoints(endpoints(&[1]), pools));
        assert_eq!(concerned(|pools| backends.remove(&name("a/x"), pools)), ["a/web"]);
        assert!(ports(&backends, "a/web").is_empty());
        concerned(|pools| backends.put(backend("a/web", Address::Service), pools).unwrap());
        assert_eq!(ports(&backends, "a/web"), [1]);
        assert_eq!(concerned(|pools| backends.remove_endpoints(&name("a/x"), pools)), ["a/web"]);
        assert!(ports(&backends, "a/web").is_empty());
        assert!(concerned(|pools| backends.remove_endpoints(&name("a/x"), pools)).is_empty());
    }

    #[test]
    fn u1_endpoints_of_a_backend_that_names_no_service_are_not_used() {
        let mut backends = Backends::default();
        concerned(|pools| backends.put_endpoints(endpoints(&[1]), pools));
        concerned(|pools| {
            backends.put(backend("a/web", Address::Fixed(SocketAddr::from(([10, 0, 0, 1], 9)).into())), pools).unwrap();
        });
        assert_eq!(ports(&backends, "a/web"), [9]);
    }

    #[test]
    fn a_backend_that_moves_concerns_both_pools() {
        let mut backends = Backends::default();
        concerned(|pools| backends.put_endpoints(endpoints(&[1]), pools));
        concerned(|pools| backends.put(backend("a/old", Address::Service), pools).unwrap());
        assert_eq!(
            concerned(|pools| backends.put(backend("a/new", Address::Service), pools).unwrap()),
            ["a/new", "a/old"]
        );
        assert_eq!((ports(&backends, "a/old"), ports(&backends, "a/new")), (vec![], vec![1]));
    }

    #[test]
    fn u1_a_name_is_known_as_long_as_a_backend_uses_it() {
        let mut backends = Backends::default();
        assert_eq!((backends.new_names(), backends.new_names()), (Some(BTreeSet::new()), None));
        concerned(|pools| backends.put(at("web.internal"), pools).unwrap());
        assert_eq!(backends.new_names(), Some(["web.internal".to_owned()].into()));
        assert_eq!(backends.resolve("web.internal", vec![[10, 0, 0, 1].into()]).len(), 1);
        assert!(backends.resolve("web.internal", vec![[10, 0, 0, 1].into()]).is_empty(), "the same again");
        concerned(|pools| backends.put(at("web.internal"), pools).unwrap());
        assert_eq!((backends.new_names(), ports(&backends, "a/web")), (None, vec![80]));
        concerned(|pools| backends.put(at("other.internal"), pools).unwrap());
        assert_eq!(backends.new_names(), Some(["other.internal".to_owned()].into()));
        assert!(backends.resolve("web.internal", vec![[10, 0, 0, 2].into()]).is_empty(), "nobody uses it");
        concerned(|pools| backends.remove(&name("a/x"), pools));
        assert_eq!(backends.new_names(), Some(BTreeSet::new()));
    }
}
