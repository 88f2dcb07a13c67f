//! Which endpoints a Backend with a Service has: the Service's slices and the name of a port in them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use weir_proto::model::{Invalid, ResourceName};

use super::Refusal;
use crate::api::backend::ServiceRef;
use crate::references::References;
use crate::services::{Port, Service, Services};
use crate::status::RefProblem;

/// Where the endpoints of a Backend come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) service: ResourceName,
    /// Name of the port, in the Service and in its slices.
    pub(super) port: Box<str>,
}

/// The target of a Backend that names a Service; `services` is none where there is no cluster.
pub(super) fn resolve(
    services: Option<&Services>,
    backend: &ResourceName,
    wanted: &ServiceRef,
) -> Result<Target, Refusal> {
    let name = backend.sibling(&wanted.name).map_err(|e| Invalid::new("spec.service.name", e))?;
    let refuse = |problem, field: &str, why: String| Err(Refusal::Reference(problem, Invalid::new(field, why)));
    let Some(services) = services else {
        let why = format!("there is no cluster to find Service {name} in: write spec.address");
        return refuse(RefProblem::NoCluster, "spec.service", why);
    };
    let Some(service) = services.service(&name) else {
        return refuse(RefProblem::ServiceNotFound, "spec.service.name", format!("there is no Service {name}"));
    };
    if let Some(host) = &service.external_name {
        let why = format!("Service {name} has no endpoints, it stands for a host: write spec.address: {host}:PORT");
        return refuse(RefProblem::ServiceIsExternal, "spec.service.name", why);
    }
    match port(service, &wanted.port) {
        Some(port) => Ok(Target { service: name, port: port.name.clone() }),
        None => refuse(RefProblem::PortNotFound, "spec.service.port", no_port(&name, service, &wanted.port)),
    }
}

fn port<'a>(service: &'a Service, wanted: &IntOrString) -> Option<&'a Port> {
    service.ports.iter().find(|port| match wanted {
        IntOrString::Int(number) => i32::from(port.number) == *number,
        IntOrString::String(name) => *port.name == **name,
    })
}

fn no_port(name: &ResourceName, service: &Service, wanted: &IntOrString) -> String {
    let known = service.ports.iter().map(|port| match &*port.name {
        "" => port.number.to_string(),
        name => format!("{name} ({})", port.number),
    });
    let known = known.collect::<Vec<_>>().join(", ");
    let wanted = match wanted {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => format!("{name:?}"),
    };
    let known = if known.is_empty() { "no port of TCP" } else { &known };
    format!("Service {name} has no port {wanted} of TCP, it has {known}")
}

/// The targets in force.
#[derive(Debug, Default)]
pub(super) struct Targets {
    of: BTreeMap<ResourceName, Target>,
    followers: References<ResourceName>,
    /// Backends whose target is another since the last look.
    changed: BTreeSet<ResourceName>,
}

impl Targets {
    /// The target of a Backend in force.
    pub(super) fn get(&self, backend: &ResourceName) -> Option<&Target> {
        self.of.get(backend)
    }

    /// From now on a Backend has this target, or none.
    pub(super) fn set(&mut self, backend: &ResourceName, target: Option<Target>) {
        if self.of.get(backend) == target.as_ref() {
            return;
        }
        if let Some(old) = self.of.remove(backend) {
            self.followers.unlink(backend, &old.service);
        }
        if let Some(target) = target {
            self.followers.link(backend.clone(), target.service.clone());
            self.of.insert(backend.clone(), target);
        }
        self.changed.insert(backend.clone());
    }

    /// The Backends whose endpoints may be others, now that those of some Services are.
    pub(super) fn take_stale(&mut self, services: &BTreeSet<ResourceName>) -> BTreeSet<ResourceName> {
        let mut stale = mem::take(&mut self.changed);
        stale.extend(services.iter().flat_map(|service| self.followers.to(service)).cloned());
        stale
    }
}
