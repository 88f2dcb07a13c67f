//! Which Pools bring certificates for which hosts. For one host one only can be shown, and one clientCa asked for: those
//! of the Pool whose name is first, whichever came first. Proxies choose so by themselves; here it is said to people.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use jiff::Timestamp;
use weir_proto::model::{Certificate, Invalid, Key, ResourceName};

use super::{Desired, GoodPool, Outcome, Refusal};
use crate::status::RefProblem;
use crate::translate::Claim;

/// The newest good claim of each Pool, whether the Pool is refused for another reason or not.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    claims: BTreeMap<ResourceName, Claim>,
    /// Host -> Pools.
    hosts: BTreeMap<String, BTreeSet<ResourceName>>,
    /// Hosts of several Pools, whose claims are others since the last look.
    shared: BTreeSet<String>,
}

impl Certificates {
    /// From now on a Pool claims this.
    fn set(&mut self, pool: &ResourceName, claim: Option<Claim>) {
        if self.claims.get(pool) == claim.as_ref() {
            return;
        }
        let before = self.claims.remove(pool).map(|claim| claim.hosts).unwrap_or_default();
        for host in before {
            let others = self.hosts.entry(host.clone()).or_default();
            others.remove(pool);
            if others.is_empty() {
                self.hosts.remove(&host);
            } else {
                self.shared.insert(host);
            }
        }
        let Some(claim) = claim else { return };
        for host in &claim.hosts {
            let pools = self.hosts.entry(host.clone()).or_default();
            if !pools.is_empty() {
                self.shared.insert(host.clone());
            }
            pools.insert(pool.clone());
        }
        self.claims.insert(pool.clone(), claim);
    }

    /// What to say about a Pool that has to yield.
    pub(super) fn conflict(&self, pool: &ResourceName) -> Option<Refusal> {
        let (other, host) = self.rival(pool)?;
        let host = if host == "*" { "hosts without a certificate" } else { host };
        let why = format!("{} brings another certificate or clientCa for {host}", Key::pool(other.clone()));
        Some(Refusal::Reference(RefProblem::CertificateConflict, Invalid::new("spec.tls", why)))
    }

    /// A Pool before this one that claims something else for one of its hosts.
    fn rival(&self, pool: &ResourceName) -> Option<(&ResourceName, &str)> {
        let own = self.claims.get(pool)?;
        let differs = |other: &&ResourceName| self.claims.get(*other).is_some_and(|claim| !claim.agrees(own));
        own.hosts.iter().find_map(|host| {
            let before = self.hosts.get(host)?.iter().take_while(|other| *other < pool);
            before.into_iter().find(differs).map(|other| (other, host.as_str()))
        })
    }

    /// Pools that claim hosts which others have claimed or given up since the last look.
    fn take_concerned(&mut self) -> BTreeSet<ResourceName> {
        let shared = mem::take(&mut self.shared);
        shared.iter().filter_map(|host| self.hosts.get(host)).flatten().cloned().collect()
    }
}

impl Claim {
    fn agrees(&self, other: &Self) -> bool {
        (&self.certificate, &self.client_ca) == (&other.certificate, &other.client_ca)
    }
}

/// Refuses a certificate that is over, at the field that names it. One that ends while it is in use stays until there is
/// another.
pub(super) fn check_expiry(certificate: Option<&Certificate>, field: &str) -> Result<(), Invalid> {
    let Some(expires) = certificate.map(Certificate::expires) else { return Ok(()) };
    if expires > Timestamp::now().as_second() {
        return Ok(());
    }
    let when = Timestamp::from_second(expires).map_or_else(|_| expires.to_string(), |when| when.to_string());
    Err(Invalid::new(field, format!("the certificate is over since {when}")))
}

/// The same of the certificate that a Pool brings.
pub(super) fn check_claim(claim: Option<&Claim>) -> Result<(), Invalid> {
    check_expiry(claim.map(|claim| &claim.certificate), "spec.tls.secretName")
}

impl Desired {
    /// Notes what a Pool claims. One that is refused keeps its claim: its last good version is in force.
    pub(super) fn note_claim(&mut self, pool: &ResourceName, result: Option<&Result<GoodPool, Refusal>>) {
        match result {
            None => self.certificates.set(pool, None),
            Some(Ok(good)) => self.certificates.set(pool, good.claim.clone()),
            Some(Err(_)) => {}
        }
    }

    /// Looks once more at Pools whose hosts others have claimed or given up. Claims do not depend on what is said about
    /// Pools: this changes none.
    pub(super) fn settle_rivals(&mut self, outcome: Outcome) -> Outcome {
        let concerned = self.certificates.take_concerned();
        if concerned.is_empty() {
            return outcome;
        }
        let concerned = concerned.into_iter().map(Key::pool).collect();
        outcome.then(self.settle(concerned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;
    use rcgen::{CertificateParams, KeyPair};

    fn certificate() -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn claim(certificate: &Certificate, hosts: &[&str]) -> Option<Claim> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Some(Claim { hosts, certificate: certificate.clone(), client_ca: None })
    }

    #[test]
    fn m6_the_first_by_name_is_right_whichever_came_first() {
        let [one, other] = [certificate(), certificate()];
        for order in [["a", "b"], ["b", "a"]] {
            let mut certificates = Certificates::default();
            for pool in order {
                certificates.set(&name(pool), claim(if pool == "a" { &one } else { &other }, &["h"]));
            }
            assert!(certificates.conflict(&name("a")).is_none(), "{order:?}");
            assert_eq!(certificates.rival(&name("b")), Some((&name("a"), "h")), "{order:?}");
        }
    }

    #[test]
    fn who_shares_a_host_is_looked_at_again_when_claims_change_and_nobody_else() {
        let [one, other] = [certificate(), certificate()];
        let mut certificates = Certificates::default();
        certificates.set(&name("a"), claim(&one, &["h", "x"]));
        assert!(certificates.take_concerned().is_empty(), "alone");
        certificates.set(&name("b"), claim(&one, &["h"]));
        certificates.set(&name("c"), claim(&one, &["c"]));
        assert_eq!(certificates.take_concerned(), [name("a"), name("b")].into());
        assert!(certificates.rival(&name("b")).is_none(), "they agree");
        certificates.set(&name("b"), claim(&one, &["h"]));
        assert!(certificates.take_concerned().is_empty(), "nothing changed");
        certificates.set(&name("a"), claim(&other, &["h", "x"]));
        assert!(certificates.rival(&name("b")).is_some());
        certificates.set(&name("a"), None);
        assert_eq!(certificates.take_concerned(), [name("b")].into());
        assert!(certificates.rival(&name("b")).is_none());
    }
}
