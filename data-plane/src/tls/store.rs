//! The certificates that Pools bring and those of the folder, and the live [`Certificates`] made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_proto::model::{Certificate, ClientCa, HostPattern, Invalid, Pool, ResourceName};

use super::{Certificates, CertificatesHandle, Terms, TermsMaker};

/// All certificates. A copy is the same store; what workers read of it is behind [`CertificateStore::live`].
#[derive(Debug, Clone, Default)]
pub struct CertificateStore {
    sources: Arc<Mutex<Sources>>,
    live: CertificatesHandle,
}

#[derive(Debug, Default)]
struct Sources {
    maker: TermsMaker,
    /// For one host the first is right.
    pools: BTreeMap<ResourceName, Brought>,
    /// By file. Yields to pools.
    files: BTreeMap<String, Brought>,
    has_changed: bool,
}

/// A certificate, ready to be shown for these hosts; `None` among them = for those that have no other.
#[derive(Debug)]
struct Brought {
    hosts: Vec<Option<HostPattern>>,
    certificate: Certificate,
    terms: Arc<Terms>,
}

impl CertificateStore {
    /// One without certificates that puts them in force here.
    #[must_use]
    pub fn new(live: CertificatesHandle) -> Self {
        Self { live, ..Self::default() }
    }

    /// What handshakes go by.
    #[must_use]
    pub fn live(&self) -> &CertificatesHandle {
        &self.live
    }

    /// Takes what a pool brings, in place of what it brought. In force with [`CertificateStore::publish`].
    ///
    /// # Errors
    /// Names the field that the library refuses; what the pool brought before stays.
    pub fn put_pool(&self, pool: &Pool) -> Result<(), Invalid> {
        let tls = pool.tls.as_ref();
        let Some((tls, certificate)) = tls.and_then(|tls| Some((tls, tls.certificate.as_ref()?))) else {
            self.remove_pool(&pool.name);
            return Ok(());
        };
        let hosts = tls.served(&pool.rules).map(|host| host.cloned()).collect();
        self.sources.lock().put_pool(&pool.name, hosts, certificate, tls.client_ca.as_ref())
    }

    /// Gives up what a pool brought. In force with [`CertificateStore::publish`].
    pub fn remove_pool(&self, name: &ResourceName) {
        let mut sources = self.sources.lock();
        sources.has_changed |= sources.pools.remove(name).is_some();
    }

    /// Puts what has changed in force: for new handshakes, connections stay as they are.
    pub fn publish(&self) {
        let mut sources = self.sources.lock();
        if std::mem::take(&mut sources.has_changed) {
            self.live.store(Arc::new(sources.certificates()));
        }
    }

    /// Takes the certificates of the folder, by the names of their files, in place of those before, and puts them in
    /// force. The one of this name is for hosts without a certificate, too.
    pub fn set_files(&self, files: &BTreeMap<String, Certificate>, default: &str) {
        let mut sources = self.sources.lock();
        let Sources { maker, .. } = &*sources;
        let brought = |(name, certificate): (&String, &Certificate)| {
            let hosts = certificate.hosts().iter().cloned().map(Some);
            let hosts = hosts.chain((name == default).then_some(None)).collect();
            let terms = maker.make(certificate, None).ok()?;
            Some((name.clone(), Brought { hosts, certificate: certificate.clone(), terms: Arc::new(terms) }))
        };
        sources.files = files.iter().filter_map(brought).collect();
        self.live.store(Arc::new(sources.certificates()));
    }
}

impl Sources {
    fn put_pool(
        &mut self,
        name: &ResourceName,
        hosts: Vec<Option<HostPattern>>,
        certificate: &Certificate,
        client_ca: Option<&ClientCa>,
    ) -> Result<(), Invalid> {
        let before = self.pools.get(name);
        let same = before.filter(|b| b.certificate == *certificate && b.terms.client_ca.as_ref() == client_ca);
        if same.is_some_and(|before| before.hosts == hosts) {
            return Ok(());
        }
        let terms = match same {
            Some(before) => before.terms.clone(),
            None => Arc::new(self.maker.make(certificate, client_ca)?),
        };
        self.pools.insert(name.clone(), Brought { hosts, certificate: certificate.clone(), terms });
        self.has_changed = true;
        Ok(())
    }

    fn certificates(&self) -> Certificates {
        let pools = self.pools.iter().map(|(name, brought)| (name.to_string(), brought));
        let files = self.files.iter().map(|(name, brought)| (name.clone(), brought));
        let mut certificates = Certificates::default();
        for (name, Brought { hosts, certificate, terms }) in pools.chain(files) {
            hosts.iter().for_each(|host| certificates.add(host.as_ref(), terms));
            certificates.shown.push((name, certificate.expires()));
        }
        certificates
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::{Rule, Tls};

    use super::*;
    use crate::tls::terms::tests::certificate;

    fn pool(name: &str, host: &str, certificate: &Certificate) -> Pool {
        let mut pool = Pool::new(name.parse().unwrap());
        pool.rules = vec![Rule { hosts: vec![HostPattern::parse(host).unwrap()], ..Rule::default() }];
        let certificate = Some(certificate.clone());
        pool.tls = Some(Tls { certificate, is_default: false, client_ca: None, redirect: false });
        pool
    }

    fn put(store: &CertificateStore, pool: &Pool) {
        store.put_pool(pool).unwrap();
        store.publish();
    }

    fn shown(store: &CertificateStore, name: Option<&str>) -> Option<Arc<Terms>> {
        store.live().load().find(name).cloned()
    }

    #[test]
    fn m6_of_two_pools_the_first_by_name_is_right_whichever_came_first() {
        for names in [["a/x", "a/y"], ["a/y", "a/x"]] {
            let (store, right, wrong) = (CertificateStore::default(), certificate("h"), certificate("h"));
            for name in names {
                put(&store, &pool(name, "h", if name == "a/x" { &right } else { &wrong }));
            }
            let first = shown(&store, Some("h")).unwrap();
            store.remove_pool(&"a/y".parse().unwrap());
            store.publish();
            assert!(Arc::ptr_eq(&first, &shown(&store, Some("h")).unwrap()), "{names:?}");
        }
    }

    #[test]
    fn s5_what_does_not_change_a_certificate_leaves_its_terms_alone() {
        let (store, mine) = (CertificateStore::default(), certificate("*.b"));
        put(&store, &pool("a/x", "h.b", &mine));
        let (state, terms) = (store.live().load_full(), shown(&store, Some("h.b")).unwrap());
        put(&store, &Pool { weight: 7, ..pool("a/x", "h.b", &mine) });
        assert!(Arc::ptr_eq(&state, &store.live().load_full()), "nothing changed");
        put(&store, &pool("a/x", "g.b", &mine));
        assert!(shown(&store, Some("h.b")).is_none());
        assert!(Arc::ptr_eq(&terms, &shown(&store, Some("g.b")).unwrap()));
        put(&store, &Pool { tls: None, ..pool("a/x", "g.b", &mine) });
        assert!(shown(&store, Some("g.b")).is_none());
    }

    #[test]
    fn files_yield_to_pools_and_one_of_them_may_be_the_default() {
        let (store, mine) = (CertificateStore::default(), certificate("h"));
        let files = [("default", "d"), ("other", "h")].map(|(name, host)| (name.to_owned(), certificate(host)));
        store.set_files(&files.into(), "default");
        let of_file = shown(&store, Some("h")).unwrap();
        put(&store, &pool("a/x", "h", &mine));
        assert!(!Arc::ptr_eq(&of_file, &shown(&store, Some("h")).unwrap()));
        let default = shown(&store, Some("d")).unwrap();
        assert!(Arc::ptr_eq(&default, &shown(&store, None).unwrap()));
        let names: Vec<String> = store.live().load().shown.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["a/x", "default", "other"]);
    }
}
