//! Which endpoints a pool has: the difference between what it had and what it shall have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;
use weir_proto::model::{EndpointAddress, Health, Protocol, ResourceName};

use super::admission::Gate;
use super::totals::Totals;
use super::{Endpoint, EndpointId, Member, Origin, Target};

/// Endpoints of a pool, those that left included while requests to them run.
#[derive(Debug, Default)]
pub struct Members {
    /// In the order of backend name and address.
    pub active: Vec<Member>,
    /// Left the pool with requests in flight (S6).
    pub draining: Vec<Member>,
    /// What the endpoints counted that are gone, of each Backend that still has others.
    pub past: BTreeMap<ResourceName, Totals>,
    /// Where requests wait for them.
    pub gate: Arc<Gate<EndpointId>>,
}

impl Members {
    /// Makes the active members those of `targets`, in order. An endpoint is the same if backend name, address and
    /// protocol are: it keeps all its state. One that comes back while draining is taken up again. Gives those of whose
    /// health there may be news, as they count again, with the reason.
    pub fn replace(&mut self, mut targets: Vec<Target>, health: &Health, workers: usize) -> Vec<Returned> {
        targets.sort_by(|a, b| place(a).cmp(&place(b)));
        targets.dedup_by(|a, b| place(a) == place(b));
        // If there is nobody yet who could spare them, new ones get their share at once.
        let new_since = (!self.active.is_empty()).then(Instant::now);
        let all = self.active.drain(..).chain(self.draining.drain(..));
        let mut old: HashMap<_, _> = all.map(|m| (identity(&m.origin, &m.endpoint.address), m)).collect();
        let mut returned = Vec::new();
        for Target { origin, address } in targets {
            let member = match old.remove(&identity(&origin, &address)) {
                Some(member) => {
                    let (member, why) = keep(member, origin, health);
                    returned.extend(why.map(|why| Returned { endpoint: member.endpoint.clone(), why }));
                    member
                }
                None => begin(new(origin, address, workers, &self.gate), health, new_since),
            };
            self.active.push(member);
        }
        self.draining.extend(old.into_values());
        self.retire();
        self.prune();
        returned
    }

    /// Whether this endpoint is one that no person has taken out.
    #[must_use]
    pub fn is_enabled(&self, id: EndpointId) -> bool {
        self.active.iter().any(|member| member.endpoint.id == id && member.origin.backend.enabled)
    }

    /// Changes `targets` so that no member leaves and none of first choice is one no longer; true if one would
    /// have.
    pub fn keep_in(&self, targets: &mut Vec<Target>) -> bool {
        let at = |(i, target): (usize, &Target)| (identity(&target.origin, &target.address), i);
        let mut places: HashMap<_, _> = targets.iter().enumerate().map(at).collect();
        let mut loses = false;
        for Member { origin, endpoint } in &self.active {
            let kept = Target { origin: origin.clone(), address: endpoint.address.clone() };
            match places.remove(&identity(origin, &endpoint.address)) {
                None => targets.push(kept),
                Some(place) if origin.is_first_choice() && !targets[place].origin.is_first_choice() => {
                    targets[place] = kept;
                }
                Some(_) => continue,
            }
            loses = true;
        }
        loses
    }

    fn retire(&self) {
        self.draining.iter().for_each(|member| member.endpoint.set_retired(true));
    }

    /// Forgets drained endpoints whose last request has ended.
    pub fn prune(&mut self) {
        let gone = self.draining.extract_if(.., |m| m.endpoint.in_flight.current() == 0);
        for member in gone {
            self.past.entry(member.endpoint.backend.clone()).or_default().add(&member.endpoint);
        }
        let (active, draining) = (&self.active, &self.draining);
        self.past.retain(|backend, _| active.iter().chain(draining).any(|m| m.endpoint.backend == *backend));
    }
}

/// An endpoint that counts again.
#[derive(Debug)]
pub struct Returned {
    /// Which one.
    pub endpoint: Arc<Endpoint>,
    /// Why it counts, for people.
    pub why: &'static str,
}

fn place(target: &Target) -> (&ResourceName, &EndpointAddress, Speech) {
    let Target { origin, address } = target;
    (&origin.backend.name, address, speech(origin))
}

/// What makes two endpoints the same. Connections and health of one protocol say nothing about another.
fn identity(origin: &Origin, address: &EndpointAddress) -> (ResourceName, EndpointAddress, Speech) {
    (origin.backend.name.clone(), address.clone(), speech(origin))
}

/// What an endpoint speaks, and whether within TLS.
type Speech = (Spoken, bool);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Spoken {
    Http1,
    Http2,
    FastCgi,
}

fn speech(origin: &Origin) -> Speech {
    let spoken = match origin.backend.protocol {
        Protocol::Http => Spoken::Http1,
        Protocol::Http2 => Spoken::Http2,
        Protocol::FastCgi(_) => Spoken::FastCgi,
    };
    (spoken, origin.tls.is_some())
}

fn new(origin: Origin, address: EndpointAddress, workers: usize, gate: &Arc<Gate<EndpointId>>) -> Member {
    let endpoint = Endpoint::new(origin.backend.name.clone(), address, workers, gate.clone());
    let endpoint = endpoint.speaking(&origin);
    Member { endpoint: Arc::new(endpoint), origin }
}

/// How a new endpoint is at first is no news.
fn begin(member: Member, health: &Health, since: Option<Instant>) -> Member {
    member.endpoint.health.lock().follow(health);
    member.endpoint.turns(member.is_up());
    *member.endpoint.came_up.lock() = since;
    member
}

/// The same endpoint after a change of its Backend or Service, and why it counts again, if it does. Enabling it zeroes its
/// counters (H6).
fn keep(old: Member, origin: Origin, health: &Health) -> (Member, Option<&'static str>) {
    let Member { origin: before, endpoint } = old;
    let mut why = None;
    if endpoint.is_retired() {
        // The settings may have changed while it was away.
        endpoint.health.lock().follow(health);
        why = Some("in the pool again");
    }
    if origin.backend.enabled && !before.backend.enabled {
        *endpoint.came_up.lock() = Some(Instant::now());
        endpoint.health.lock().enable();
        why = Some("enabled by hand");
    }
    let words = |origin: &Origin| (origin.backend.enabled, origin.backend.weight > 0, origin.is_terminating());
    if words(&origin) != words(&before) {
        endpoint.changed_state();
    }
    endpoint.configure(&origin);
    endpoint.set_retired(false);
    (Member { origin, endpoint }, why)
}

#[cfg(test)]
mod tests {
    use weir_proto::model;

    use super::super::member::tests::of_service;
    use super::*;
    use crate::upstream::tls::Terms;

    fn target(name: &str, port: u16) -> Target {
        let address = EndpointAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let backend = model::Backend {
            name: format!("a/{name}").parse().unwrap(),
            pool: "a/pool".parse().unwrap(),
            address: model::Address::Fixed(address.clone()),
            weight: 1,
            enabled: true,
            labels: Default::default(),
            score: 0,
            role: model::Role::default(),
            capacity: 0,
            protocol: Default::default(),
            proxy_protocol: None,
            tls: None,
        };
        Target::new(Arc::new(backend), address)
    }

    #[test]
    fn c5_an_endpoint_that_stays_keeps_its_state() {
        let mut members = Members::default();
        members.replace(vec![target("b", 1), target("a", 2)], &Health::default(), 1);
        let first = members.active[0].endpoint.clone();
        assert_eq!(first.backend.name(), "a");
        members.replace(vec![target("a", 2), target("a", 2), target("c", 3)], &Health::default(), 1);
        assert!(Arc::ptr_eq(&members.active[0].endpoint, &first));
        assert_eq!(members.active.len(), 2);
    }

    #[test]
    fn c5_an_endpoint_of_another_protocol_is_another_and_of_other_scripts_the_same() {
        let fastcgi = |root: &str| {
            let mut target = target("a", 1);
            Arc::make_mut(&mut target.origin.backend).protocol =
                Protocol::FastCgi(model::FastCgi::new(root, "", "").unwrap());
            target
        };
        let mut members = Members::default();
        members.replace(vec![target("a", 1)], &Health::default(), 1);
        let http = members.active[0].endpoint.clone();
        members.replace(vec![fastcgi("/one")], &Health::default(), 1);
        let endpoint = members.active[0].endpoint.clone();
        assert!(http.is_retired() && http.speaks.fastcgi().is_none());
        members.replace(vec![fastcgi("/two")], &Health::default(), 1);
        assert!(Arc::ptr_eq(&members.active[0].endpoint, &endpoint));
        let root = endpoint.speaks.fastcgi().unwrap().config.load().document_root.clone();
        assert_eq!(root.as_deref(), Some("/two"));
    }

    #[test]
    fn c5_an_endpoint_within_tls_is_another_and_by_other_terms_the_same() {
        let terms = |name: &'static str| {
            let settings = model::BackendTls {
                server_name: name.try_into().unwrap(),
                trust: model::Trust::Anyone,
                certificate: None,
                minimum_version: model::TlsVersion::default(),
            };
            Arc::new(Terms::new(settings).unwrap())
        };
        let (one, other, mut members) = (terms("one"), terms("other"), Members::default());
        members.replace(vec![target("a", 1)], &Health::default(), 1);
        let plain = members.active[0].endpoint.clone();
        members.replace(vec![target("a", 1).within(Some(&one))], &Health::default(), 1);
        let endpoint = members.active[0].endpoint.clone();
        assert!(plain.is_retired() && plain.terms().is_none() && endpoint.goes_by(&one));
        members.replace(vec![target("a", 1).within(Some(&other))], &Health::default(), 1);
        assert!(Arc::ptr_eq(&members.active[0].endpoint, &endpoint));
        assert!(endpoint.goes_by(&other) && !endpoint.goes_by(&one));
    }

    #[test]
    fn s5_members_that_take_requests_are_kept_in() {
        let mut members = Members::default();
        let mut off = target("off", 4);
        Arc::make_mut(&mut off.origin.backend).enabled = false;
        members.replace(
            vec![target("stays", 1), target("goes", 2), target("turned-off", 3), off],
            &Health::default(),
            1,
        );
        let mut turned_off = target("turned-off", 3);
        Arc::make_mut(&mut turned_off.origin.backend).weight = 0;
        let mut targets = vec![target("stays", 1), turned_off, target("off", 4), target("comes", 5)];
        assert!(members.keep_in(&mut targets));
        let enabled = |target: &Target| (target.address.socket().unwrap().port(), target.origin.takes_requests());
        assert_eq!(targets.iter().map(enabled).collect::<Vec<_>>(), [1, 3, 4, 5, 2].map(|port| (port, true)));
        members.replace(targets.clone(), &Health::default(), 1);
        assert!(!members.keep_in(&mut targets));
    }

    #[test]
    fn s5_an_endpoint_stays_first_choice_until_the_others_are_there() {
        let mut members = Members::default();
        members.replace(vec![of_service(target("web", 1), false, "a")], &Health::default(), 1);
        let mut targets = vec![of_service(target("web", 1), true, "a"), of_service(target("web", 2), false, "a")];
        assert!(members.keep_in(&mut targets));
        assert!(targets.iter().all(|target| target.origin.is_first_choice()));
    }

    #[test]
    fn c5_an_endpoint_that_begins_to_terminate_keeps_its_state() {
        let mut members = Members::default();
        members.replace(vec![of_service(target("web", 1), false, "a")], &Health::default(), 1);
        let first = members.active[0].endpoint.clone();
        members.replace(vec![of_service(target("web", 1), true, "a")], &Health::default(), 1);
        assert!(Arc::ptr_eq(&members.active[0].endpoint, &first) && !first.is_retired());
        assert!(members.active[0].origin.is_terminating());
    }

    #[test]
    fn s6_a_removed_endpoint_drains_and_is_then_gone() {
        let mut members = Members::default();
        members.replace(vec![target("a", 1)], &Health::default(), 1);
        let endpoint = members.active[0].endpoint.clone();
        let running = super::super::InFlight::start(endpoint.clone(), 0);
        members.replace(vec![], &Health::default(), 1);
        assert!(endpoint.is_retired());
        assert_eq!(members.draining.len(), 1);
        drop(running);
        members.prune();
        assert!(members.draining.is_empty());
    }

    #[test]
    fn t1_counts_of_a_backend_outlive_its_addresses_but_not_itself() {
        let mut members = Members::default();
        members.replace(vec![target("a", 1), target("a", 2)], &Health::default(), 1);
        members.active[0].endpoint.shards.of(0).responses[1].add(7);
        members.replace(vec![target("a", 2)], &Health::default(), 1);
        assert_eq!(members.past.values().map(|totals| totals.responses[1]).collect::<Vec<_>>(), [7]);
        members.replace(vec![target("b", 3)], &Health::default(), 1);
        assert!(members.past.is_empty());
    }
}
