//! Which endpoints a pool has: the difference between what it had and what it shall have.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weir_proto::model::{self, ResourceName};

use super::Endpoint;
use super::totals::Totals;

/// An endpoint and the Backend it comes from.
#[derive(Debug, Clone)]
pub struct Member {
    /// Configuration; swapped.
    pub backend: Arc<model::Backend>,
    /// Run-time state; survives.
    pub endpoint: Arc<Endpoint>,
}

impl Member {
    /// Whether health lets requests go to it. A person's word (`enabled`) is not health.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.endpoint.outlier.lock().is_ejected()
    }
}

/// What a pool shall have: a Backend and one address it stands for.
pub type Target = (Arc<model::Backend>, SocketAddr);

/// Endpoints of a pool, those that left included while requests to them run.
#[derive(Debug, Default)]
pub struct Members {
    /// In the order of backend name and address.
    pub active: Vec<Member>,
    /// Left the pool with requests in flight (S6).
    pub draining: Vec<Member>,
    /// What the endpoints counted that are gone, of each Backend that still has others.
    pub past: BTreeMap<ResourceName, Totals>,
}

impl Members {
    /// Makes the active members those of `targets`, in order. An endpoint is the same if backend name and
    /// address are: it keeps all its state. One that comes back while draining is taken up again. Gives those
    /// that came up, as a person enabled them.
    pub fn replace(&mut self, mut targets: Vec<Target>, workers: usize) -> Vec<Arc<Endpoint>> {
        targets.sort_by(|a, b| (&a.0.name, a.1).cmp(&(&b.0.name, b.1)));
        targets.dedup_by(|a, b| (&a.0.name, a.1) == (&b.0.name, b.1));
        let all = self.active.drain(..).chain(self.draining.drain(..));
        let mut old: HashMap<_, _> = all.map(|m| ((m.endpoint.backend.clone(), m.endpoint.address), m)).collect();
        let mut came_up = Vec::new();
        for (backend, address) in targets {
            let member = match old.remove(&(backend.name.clone(), address)) {
                Some(member) => keep(member, backend, &mut came_up),
                None => {
                    let endpoint = Arc::new(Endpoint::new(backend.name.clone(), address, workers));
                    Member { backend, endpoint }
                }
            };
            self.active.push(member);
        }
        self.draining.extend(old.into_values());
        self.retire();
        self.prune();
        came_up
    }

    /// Changes `targets` so that no member leaves and none that takes requests stops; true if one would have.
    pub fn keep_in(&self, targets: &mut Vec<Target>) -> bool {
        let mut places: HashMap<_, _> =
            targets.iter().enumerate().map(|(i, (backend, address))| ((backend.name.clone(), *address), i)).collect();
        let mut loses = false;
        for Member { backend, endpoint } in &self.active {
            let kept = (backend.clone(), endpoint.address);
            match places.remove(&(backend.name.clone(), endpoint.address)) {
                None => targets.push(kept),
                Some(place) if takes_requests(backend) && !takes_requests(&targets[place].0) => targets[place] = kept,
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

fn takes_requests(backend: &model::Backend) -> bool {
    backend.enabled && backend.weight > 0
}

/// The same endpoint under a new version of its Backend. Enabling it zeroes its counters (H6).
fn keep(old: Member, backend: Arc<model::Backend>, came_up: &mut Vec<Arc<Endpoint>>) -> Member {
    let Member { backend: before, endpoint } = old;
    if backend.enabled && !before.enabled && endpoint.outlier.lock().reset() {
        came_up.push(endpoint.clone());
    }
    if backend.enabled != before.enabled {
        endpoint.changed_state();
    }
    endpoint.set_retired(false);
    Member { backend, endpoint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, port: u16) -> Target {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let backend = model::Backend {
            name: format!("a/{name}").parse().unwrap(),
            pool: "a/pool".parse().unwrap(),
            address: model::Address::Socket(address),
            weight: 1,
            enabled: true,
            labels: Default::default(),
        };
        (Arc::new(backend), address)
    }

    #[test]
    fn c5_an_endpoint_that_stays_keeps_its_state() {
        let mut members = Members::default();
        members.replace(vec![target("b", 1), target("a", 2)], 1);
        let first = members.active[0].endpoint.clone();
        assert_eq!(first.backend.name(), "a");
        members.replace(vec![target("a", 2), target("a", 2), target("c", 3)], 1);
        assert!(Arc::ptr_eq(&members.active[0].endpoint, &first));
        assert_eq!(members.active.len(), 2);
    }

    #[test]
    fn s5_members_that_take_requests_are_kept_in() {
        let mut members = Members::default();
        let mut off = target("off", 4);
        Arc::make_mut(&mut off.0).enabled = false;
        members.replace(vec![target("stays", 1), target("goes", 2), target("turned-off", 3), off], 1);
        let mut turned_off = target("turned-off", 3);
        Arc::make_mut(&mut turned_off.0).weight = 0;
        let mut targets = vec![target("stays", 1), turned_off, target("off", 4), target("comes", 5)];
        assert!(members.keep_in(&mut targets));
        let enabled = |(backend, address): &Target| (address.port(), takes_requests(backend));
        assert_eq!(targets.iter().map(enabled).collect::<Vec<_>>(), [1, 3, 4, 5, 2].map(|port| (port, true)));
        members.replace(targets.clone(), 1);
        assert!(!members.keep_in(&mut targets));
    }

    #[test]
    fn s6_a_removed_endpoint_drains_and_is_then_gone() {
        let mut members = Members::default();
        members.replace(vec![target("a", 1)], 1);
        let endpoint = members.active[0].endpoint.clone();
        let running = super::super::InFlight::start(endpoint.clone(), 0);
        members.replace(vec![], 1);
        assert!(endpoint.is_retired());
        assert_eq!(members.draining.len(), 1);
        drop(running);
        members.prune();
        assert!(members.draining.is_empty());
    }

    #[test]
    fn t1_counts_of_a_backend_outlive_its_addresses_but_not_itself() {
        let mut members = Members::default();
        members.replace(vec![target("a", 1), target("a", 2)], 1);
        members.active[0].endpoint.shards.of(0).responses[1].add(7);
        members.replace(vec![target("a", 2)], 1);
        assert_eq!(members.past.values().map(|totals| totals.responses[1]).collect::<Vec<_>>(), [7]);
        members.replace(vec![target("b", 3)], 1);
        assert!(members.past.is_empty());
    }
}
