//! The Services of a cluster and the slices of their endpoints, reduced to what Backends can use. Pure.
//!
//! All of them are kept, since any may be named by the next Backend; so what is kept is small.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use weir_proto::model::ResourceName;

use crate::references::References;

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The host that it stands for, if it has no endpoints of its own: its type is ExternalName.
    pub external_name: Option<Box<str>>,
    /// Ports of TCP.
    pub ports: Box<[Port]>,
}

/// A port of a Service, or of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Empty if there is just one.
    pub name: Box<str>,
    /// Its number; that of a slice is where the endpoints listen.
    pub number: u16,
}

/// Some of the endpoints of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Name of the Service, in the namespace of the slice.
    pub service: Box<str>,
    /// Ports of TCP.
    pub ports: Box<[Port]>,
    /// Those that take requests; each listens on every port.
    pub endpoints: Box<[SliceEndpoint]>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Where it is.
    pub ip: IpAddr,
    /// Still serving, but about to go.
    pub terminating: bool,
    /// Where it runs.
    pub zone: Option<Box<str>>,
    /// For which zones it is meant, separated by commas.
    pub zone_hints: Option<Box<str>>,
}

/// A change of Services or slices.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEvent {
    /// A Service is new or changed; `None` = gone.
    Service(ResourceName, Option<Service>),
    /// A slice is new or changed; `None` = gone.
    Slice(ResourceName, Option<Slice>),
    /// All Services.
    Services(Listed<Service>),
    /// All slices.
    Slices(Listed<Slice>),
}

/// All objects of a kind: others are gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// Only those of this namespace, once the kind is complete.
    pub within: Option<Arc<str>>,
    /// `None` = it is there, but cannot be read: it stays as it was.
    pub all: BTreeMap<ResourceName, Option<T>>,
}

/// What is known of Services.
#[derive(Debug, Default)]
pub struct Services {
    services: BTreeMap<ResourceName, Service>,
    slices: BTreeMap<ResourceName, Slice>,
    /// Service -> its slices.
    slices_of: References<ResourceName>,
    has_services: bool,
    has_slices: bool,
    changed: Changed,
}

/// Services about which something is different.
#[derive(Debug, Default, PartialEq)]
pub struct Changed {
    /// They themselves.
    pub services: BTreeSet<ResourceName>,
    /// Their endpoints.
    pub endpoints: BTreeSet<ResourceName>,
}

impl Services {
    /// Takes in a change.
    pub fn apply(&mut self, event: ServiceEvent) {
        match event {
            ServiceEvent::Service(name, service) => self.set_service(name, service),
            ServiceEvent::Slice(name, slice) => self.set_slice(name, slice),
            ServiceEvent::Services(listed) => {
                self.has_services |= listed.within.is_none();
                let changes = changes(&self.services, listed);
                changes.into_iter().for_each(|(name, service)| self.set_service(name, service));
            }
            ServiceEvent::Slices(listed) => {
                self.has_slices |= listed.within.is_none();
                let changes = changes(&self.slices, listed);
                changes.into_iter().for_each(|(name, slice)| self.set_slice(name, slice));
            }
        }
    }

    /// The kinds whose first list has not come yet.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = [("Service", self.has_services), ("EndpointSlice", self.has_slices)];
        missing.into_iter().filter(|(_, is_there)| !is_there).map(|(kind, _)| kind).collect()
    }

    /// One Service.
    #[must_use]
    pub fn service(&self, name: &ResourceName) -> Option<&Service> {
        self.services.get(name)
    }

    /// The slices of a Service.
    pub fn slices(&self, service: &ResourceName) -> impl Iterator<Item = &Slice> {
        self.slices_of.to(service).filter_map(|slice| self.slices.get(slice))
    }

    /// What is different since the last look.
    pub fn take_changed(&mut self) -> Changed {
        mem::take(&mut self.changed)
    }

    fn set_service(&mut self, name: ResourceName, service: Option<Service>) {
        if self.services.get(&name) != service.as_ref() {
            set(&mut self.services, &name, service);
            self.changed.services.insert(name);
        }
    }

    fn set_slice(&mut self, name: ResourceName, slice: Option<Slice>) {
        if self.slices.get(&name) == slice.as_ref() {
            return;
        }
        if let Some(service) = slice.as_ref().and_then(|slice| service_of(&name, slice)) {
            self.slices_of.link(name.clone(), service.clone());
            self.changed.endpoints.insert(service);
        }
        let old = set(&mut self.slices, &name, slice);
        let Some(service) = old.and_then(|old| service_of(&name, &old)) else { return };
        if self.slices.get(&name).and_then(|slice| service_of(&name, slice)).as_ref() != Some(&service) {
            self.slices_of.unlink(&name, &service);
        }
        self.changed.endpoints.insert(service);
    }
}

fn service_of(name: &ResourceName, slice: &Slice) -> Option<ResourceName> {
    name.sibling(&slice.service).ok()
}

fn set<T>(all: &mut BTreeMap<ResourceName, T>, name: &ResourceName, value: Option<T>) -> Option<T> {
    match value {
        Some(value) => all.insert(name.clone(), value),
        None => all.remove(name),
    }
}

/// What a list says, one by one.
fn changes<T>(known: &BTreeMap<ResourceName, T>, listed: Listed<T>) -> Vec<(ResourceName, Option<T>)> {
    let Listed { within, all } = listed;
    let is_listed = |name: &&ResourceName| within.as_ref().is_none_or(|namespace| name.namespace() == &**namespace);
    let gone = known.keys().filter(is_listed).filter(|name| !all.contains_key(*name)).cloned();
    let mut changes: Vec<_> = gone.map(|name| (name, None)).collect();
    changes.extend(all.into_iter().filter(|(_, value)| value.is_some()));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{name, service, slice};

    fn slices(services: &Services, of: &str) -> usize {
        services.slices(&name(of)).count()
    }

    fn list<T>(within: Option<&str>, all: Vec<(&str, Option<T>)>) -> Listed<T> {
        Listed { within: within.map(Into::into), all: all.into_iter().map(|(n, v)| (name(n), v)).collect() }
    }

    #[test]
    fn a_slice_that_turns_to_another_service_leaves_the_first() {
        let mut services = Services::default();
        services.apply(ServiceEvent::Slice(name("s1"), Some(slice("web", &["10.0.0.1"]))));
        assert_eq!((slices(&services, "web"), slices(&services, "api")), (1, 0));
        services.take_changed();
        services.apply(ServiceEvent::Slice(name("s1"), Some(slice("api", &["10.0.0.1"]))));
        assert_eq!((slices(&services, "web"), slices(&services, "api")), (0, 1));
        assert_eq!(services.take_changed().endpoints, [name("api"), name("web")].into());
        services.apply(ServiceEvent::Slice(name("s1"), None));
        assert_eq!(slices(&services, "api"), 0);
        assert_eq!(services.take_changed().endpoints, [name("api")].into());
    }

    #[test]
    fn what_is_as_it_was_has_not_changed() {
        let mut services = Services::default();
        for _ in 0..2 {
            services.apply(ServiceEvent::Slice(name("s1"), Some(slice("web", &["10.0.0.1"]))));
            services.apply(ServiceEvent::Service(name("web"), Some(service(&[("http", 80)]))));
        }
        assert_ne!(services.take_changed(), Changed::default());
        services.apply(ServiceEvent::Slices(list(None, vec![("s1", Some(slice("web", &["10.0.0.1"])))])));
        services.apply(ServiceEvent::Services(list(None, vec![("web", Some(service(&[("http", 80)])))])));
        assert_eq!(services.take_changed(), Changed::default());
    }

    #[test]
    fn s5_a_list_of_one_namespace_leaves_the_others_and_what_cannot_be_read_stays() {
        let mut services = Services::default();
        let all = vec![("s1", Some(slice("web", &["10.0.0.1"]))), ("s2", Some(slice("web", &["10.0.0.2"])))];
        services.apply(ServiceEvent::Slices(list(None, all)));
        services.apply(ServiceEvent::Slices(list(Some("other"), vec![])));
        assert_eq!(slices(&services, "web"), 2);
        services.apply(ServiceEvent::Slices(list(Some("default"), vec![("s2", None)])));
        assert_eq!(slices(&services, "web"), 1);
    }

    #[test]
    fn rule_1_services_and_slices_are_missing_until_the_first_list_of_all() {
        let mut services = Services::default();
        services.apply(ServiceEvent::Slices(list(Some("default"), vec![])));
        assert_eq!(services.missing(), ["Service", "EndpointSlice"]);
        services.apply(ServiceEvent::Slices(list(None, vec![])));
        services.apply(ServiceEvent::Services(list(None, vec![])));
        assert_eq!(services.missing(), [""; 0]);
    }
}
