//! Services and EndpointSlices as the API server has them, reduced to what is kept.

use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::core::{DeserializeGuard, Resource};
use weir_proto::model::ResourceName;

use super::lists::Told;
use crate::services::{Listed, Port, Service, ServiceEvent, Slice, SliceEndpoint};
use crate::source::{Changes, Event};

/// Label of a slice with the name of its Service; one without it belongs to none.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

const TCP: &str = "TCP";

/// An object that cannot be read is `None`; there is no user to tell but in the log.
pub(super) fn guarded<K: Resource<DynamicType = ()>, T>(
    name: &ResourceName,
    guarded: DeserializeGuard<K>,
    reduce: impl Fn(&ResourceName, K) -> T,
) -> Option<T> {
    let unreadable = |error: &dyn fmt::Display| {
        tracing::warn!("{} {name} cannot be read, what is known of it stays: {error}", K::kind(&()));
    };
    guarded.0.map(|object| reduce(name, object)).inspect_err(|error| unreadable(error)).ok()
}

pub(super) fn service(_: &ResourceName, object: core::Service) -> Service {
    let spec = object.spec.unwrap_or_default();
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    let external_name = spec.external_name.filter(|_| is_external).map(String::into_boxed_str);
    let ports = spec.ports.unwrap_or_default().into_iter();
    let ports = ports.filter_map(|p| port(p.name, p.protocol.as_deref(), Some(p.port)));
    Service { external_name, ports: ports.collect() }
}

pub(super) fn slice(name: &ResourceName, object: discovery::EndpointSlice) -> Slice {
    let label = object.metadata.labels.and_then(|mut labels| labels.remove(SERVICE_NAME));
    let is_ip = ["IPv4", "IPv6"].contains(&object.address_type.as_str());
    if !is_ip {
        let what = &object.address_type;
        tracing::warn!("EndpointSlice {name}: addresses of type {what} are ignored: write DNS names as spec.address");
    }
    let endpoints = object.endpoints.into_iter().filter(|_| is_ip);
    let ports = object.ports.into_iter().flatten();
    Slice {
        service: label.unwrap_or_default().into_boxed_str(),
        ports: ports.filter_map(|p| port(p.name, p.protocol.as_deref(), p.port)).collect(),
        endpoints: endpoints.filter_map(endpoint).collect(),
    }
}

/// A port of TCP, which is what a port is that says nothing. One without a number stands for all and leads nowhere.
fn port(name: Option<String>, protocol: Option<&str>, number: Option<i32>) -> Option<Port> {
    let number = u16::try_from(number?).ok().filter(|number| *number != 0)?;
    let name = name.unwrap_or_default().into_boxed_str();
    protocol.is_none_or(|protocol| protocol == TCP).then_some(Port { name, number })
}

/// An endpoint that takes requests: it is ready, or still serves while it terminates. Who does not say is ready, and
/// who is not said to serve serves if it is ready.
fn endpoint(endpoint: discovery::Endpoint) -> Option<SliceEndpoint> {
    let conditions = endpoint.conditions.unwrap_or_default();
    let is_ready = conditions.ready.unwrap_or(true);
    let is_terminating = conditions.terminating.unwrap_or(false);
    let is_serving = conditions.serving.unwrap_or(is_ready);
    // Of a slice's endpoint only the first address has a meaning.
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let takes_requests = is_ready || (is_serving && is_terminating);
    (takes_requests && !ip.is_unspecified() && !ip.is_multicast()).then(|| SliceEndpoint {
        ip,
        terminating: is_terminating,
        zone: endpoint.zone.map(String::into_boxed_str),
        zone_hints: endpoint.hints.and_then(|hints| zones(hints.for_zones?)),
    })
}

fn zones(zones: Vec<discovery::ForZone>) -> Option<Box<str>> {
    let names: Vec<String> = zones.into_iter().map(|zone| zone.name).collect();
    (!names.is_empty()).then(|| names.join(",").into_boxed_str())
}

/// What is told of Services.
pub(super) fn service_changes(told: Told<Option<Service>>) -> Changes {
    changes(told, ServiceEvent::Service, ServiceEvent::Services)
}

/// What is told of slices.
pub(super) fn slice_changes(told: Told<Option<Slice>>) -> Changes {
    changes(told, ServiceEvent::Slice, ServiceEvent::Slices)
}

fn changes<T>(
    told: Told<Option<T>>,
    one: impl Fn(ResourceName, Option<T>) -> ServiceEvent,
    all_of: impl Fn(Listed<T>) -> ServiceEvent,
) -> Changes {
    let event = match told {
        Told::Applied((_, None)) => return Changes::new(),
        Told::Applied((name, object)) => one(name, object),
        Told::Gone(name) => one(name, None),
        Told::All(within, all) => all_of(Listed { within, all }),
    };
    vec![Event::Service(event)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::name;

    fn read(conditions: &Value) -> Option<bool> {
        let endpoint_json = json!({"addresses": ["10.0.0.1", "10.0.0.9"], "conditions": conditions});
        let read = endpoint(serde_json::from_value(endpoint_json).unwrap())?;
        assert_eq!(read.ip.to_string(), "10.0.0.1");
        Some(read.terminating)
    }

    #[test]
    fn u1_endpoints_are_those_that_are_ready_or_serve_while_they_terminate() {
        for (conditions, expected) in [
            (json!(null), Some(false)),
            (json!({}), Some(false)),
            (json!({"ready": true, "serving": true, "terminating": false}), Some(false)),
            (json!({"ready": false, "serving": true, "terminating": true}), Some(true)),
            (json!({"ready": false, "serving": true, "terminating": false}), None),
            (json!({"ready": false, "serving": false, "terminating": true}), None),
            (json!({"ready": false, "terminating": true}), None),
            (json!({"ready": false}), None),
            // A Service that publishes addresses that are not ready calls them ready, whatever they do.
            (json!({"ready": true, "serving": false, "terminating": true}), Some(true)),
        ] {
            assert_eq!(read(&conditions), expected, "{conditions}");
        }
    }

    fn slice_of(spec: Value) -> Slice {
        let mut object = json!({"metadata": {"name": "s", "labels": {SERVICE_NAME: "web"}}});
        object.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        slice(&name("s"), serde_json::from_value(object).unwrap())
    }

    #[test]
    fn u1_slices_of_both_families_are_taken_and_names_are_not() {
        let count = |kind: &str, address: &str| {
            let endpoints = json!([{"addresses": [address]}]);
            slice_of(json!({"addressType": kind, "endpoints": endpoints})).endpoints.len()
        };
        assert_eq!((count("IPv4", "10.0.0.1"), count("IPv6", "fd00::1"), count("FQDN", "web.example.com")), (1, 1, 0));
        assert_eq!((count("IPv4", "0.0.0.0"), count("IPv4", "224.0.0.1"), count("IPv4", "web")), (0, 0, 0));
    }

    #[test]
    fn ports_are_those_of_tcp_that_have_a_number() {
        let ports = json!([
            {"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 81}, {"name": "any"},
            {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "zero", "port": 0},
        ]);
        let slice = slice_of(json!({"addressType": "IPv4", "endpoints": null, "ports": ports}));
        let ports: Vec<(&str, u16)> = slice.ports.iter().map(|p| (&*p.name, p.number)).collect();
        assert_eq!((&*slice.service, ports), ("web", vec![("http", 8080), ("", 81)]));
    }

    #[test]
    fn zones_and_hints_are_kept() {
        let hints = json!({"forZones": [{"name": "a"}, {"name": "b"}]});
        let endpoints = json!([{"addresses": ["10.0.0.1"], "zone": "a", "hints": hints}, {"addresses": ["10.0.0.2"]}]);
        let slice = slice_of(json!({"addressType": "IPv4", "endpoints": endpoints}));
        assert_eq!(
            (slice.endpoints[0].zone.as_deref(), slice.endpoints[0].zone_hints.as_deref()),
            (Some("a"), Some("a,b"))
        );
        assert_eq!((&slice.endpoints[1].zone, &slice.endpoints[1].zone_hints), (&None, &None));
    }

    #[test]
    fn s1_an_object_that_cannot_be_read_is_left_as_it_was() {
        let broken: DeserializeGuard<core::Service> =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"ports": "none"}})).unwrap();
        let read = guarded(&name("web"), broken, service);
        assert_eq!(read, None);
        assert_eq!(service_changes(Told::Applied((name("web"), read.clone()))), []);
        let all = Told::All(None, [(name("web"), read)].into());
        let [Event::Service(ServiceEvent::Services(listed))] = &service_changes(all)[..] else { panic!() };
        assert_eq!(listed.all[&name("web")], None);
    }
}
