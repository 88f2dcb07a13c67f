//! Which certificate is shown for which host.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_proto::model::HostPattern;

use super::Terms;
use crate::matcher::host::{HostMap, normalise};

/// One state of all certificates. Immutable.
#[derive(Debug, Default)]
pub struct Certificates {
    hosts: HostMap<Arc<Terms>>,
    /// Each certificate with the time it ends at, in seconds since 1970, under the name that people know it by.
    pub shown: Vec<(String, i64)>,
}

/// The live certificates; the control thread stores, handshakes load.
pub type CertificatesHandle = Arc<ArcSwap<Certificates>>;

impl Certificates {
    /// What a handshake for this name goes by: that of the host, of its longest wildcard, or the default.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<Terms>> {
        let host = name.and_then(|name| normalise(name).ok()).unwrap_or_default();
        self.hosts.levels(&host).next()
    }

    /// What a handshake for this host goes by if it has terms of its own, or shares those of a wildcard.
    #[must_use]
    pub fn find_own(&self, host: &str) -> Option<&Arc<Terms>> {
        self.hosts.named(host).next()
    }

    /// Handshakes for `host` (`None`: all that have nothing else) go by `terms`, unless others came first.
    pub fn add(&mut self, host: Option<&HostPattern>, terms: &Arc<Terms>) {
        if self.hosts.get(host).is_none() {
            self.hosts.insert(host, terms.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::terms::tests::terms;

    fn found(hosts: &[&'static str], name: Option<&str>) -> Option<&'static str> {
        let mut certificates = Certificates::default();
        let all: Vec<Arc<Terms>> = hosts.iter().map(|_| Arc::new(terms("a"))).collect();
        for (host, terms) in hosts.iter().zip(&all) {
            let host = (*host != "default").then(|| HostPattern::parse(host).unwrap());
            certificates.add(host.as_ref(), terms);
        }
        let found = certificates.find(name)?;
        all.iter().position(|terms| Arc::ptr_eq(terms, found)).map(|place| hosts[place])
    }

    #[test]
    fn exact_names_go_before_longer_wildcards_before_the_default() {
        let hosts = ["default", "*.com", "*.shop.com", "a.shop.com"];
        for (name, host) in [
            ("a.shop.com", "a.shop.com"),
            ("A.Shop.COM.", "a.shop.com"),
            ("b.shop.com", "*.shop.com"),
            ("a.b.shop.com", "*.shop.com"),
            ("shop.com", "*.com"),
            ("shop.org", "default"),
            ("no host!", "default"),
        ] {
            assert_eq!(found(&hosts, Some(name)), Some(host), "{name}");
        }
        assert_eq!(found(&hosts, None), Some("default"));
        assert_eq!((found(&hosts[1..], None), found(&hosts[1..], Some("shop.org"))), (None, None));
    }

    #[test]
    fn of_several_for_one_host_the_first_is_shown() {
        let (mut certificates, first, second) = (Certificates::default(), Arc::new(terms("a")), Arc::new(terms("a")));
        certificates.add(None, &first);
        certificates.add(None, &second);
        assert!(Arc::ptr_eq(certificates.find(None).unwrap(), &first));
    }
}
