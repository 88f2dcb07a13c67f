//! The slices of a Service to the endpoints of a Backend.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use weir_proto::model::{Endpoints, Invalid, Key, ServiceEndpoint};
use weir_proto::pb::resource::Body;

use super::checked;
use crate::services::{Slice, SliceEndpoint};

/// Label with the zone that an endpoint runs in.
const ZONE: &str = "zone";

/// Label with the zones that an endpoint is meant for.
const ZONE_HINTS: &str = "zone-hints";

/// The message with all endpoints that listen on the port of this name. An address that several slices give is one
/// endpoint, which goes only if all of them say so.
///
/// # Errors
/// If there are more than a message holds.
pub fn endpoints<'a>(key: &Key, port: &str, slices: impl Iterator<Item = &'a Slice>) -> Result<Body, Invalid> {
    let mut all: BTreeMap<SocketAddr, &SliceEndpoint> = BTreeMap::new();
    for slice in slices {
        for port in slice.ports.iter().filter(|p| *p.name == *port) {
            for endpoint in &slice.endpoints {
                let best = all.entry(SocketAddr::new(endpoint.ip, port.number)).or_insert(endpoint);
                if best.terminating && !endpoint.terminating {
                    *best = endpoint;
                }
            }
        }
    }
    let endpoints = all.into_iter().map(|(address, endpoint)| service_endpoint(address, endpoint)).collect();
    checked(key, Body::from(&Endpoints { name: key.name.clone(), endpoints }))
}

fn service_endpoint(address: SocketAddr, endpoint: &SliceEndpoint) -> ServiceEndpoint {
    let SliceEndpoint { ip: _, terminating, zone, zone_hints } = endpoint;
    let labels = [(ZONE, zone), (ZONE_HINTS, zone_hints)];
    let known = labels.into_iter().filter_map(|(label, value)| Some((label.to_owned(), value.as_deref()?.to_owned())));
    ServiceEndpoint { address, terminating: *terminating, labels: known.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Port;
    use crate::testing::{endpoint, key, slice};

    fn translated(port: &str, slices: &[Slice]) -> Vec<String> {
        let body = endpoints(&key("Endpoints", "x"), port, slices.iter()).unwrap();
        let Body::Endpoints(message) = body else { panic!("{body:?}") };
        let line = |e: weir_proto::pb::ServiceEndpoint| {
            let terminating = if e.terminating { " terminating" } else { "" };
            let labels: String = e.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{}{terminating}{labels}", e.address)
        };
        message.endpoints.into_iter().map(line).collect()
    }

    fn ports(ports: &[(&str, u16)]) -> Box<[Port]> {
        ports.iter().map(|(name, number)| Port { name: (*name).into(), number: *number }).collect()
    }

    #[test]
    fn u1_the_port_is_that_of_its_name_in_each_slice() {
        let one = Slice { ports: ports(&[("http", 8080), ("admin", 9000)]), ..slice("web", &["10.0.0.1"]) };
        let two = Slice { ports: ports(&[("http", 8081)]), ..slice("web", &["10.0.0.2", "fd00::2"]) };
        assert_eq!(
            translated("http", &[two.clone(), one.clone()]),
            ["10.0.0.1:8080", "10.0.0.2:8081", "[fd00::2]:8081"]
        );
        assert_eq!(translated("admin", &[two.clone(), one]), ["10.0.0.1:9000"]);
        assert_eq!(translated("", &[two]), [""; 0]);
    }

    #[test]
    fn u1_an_unnamed_port_is_that_without_a_name() {
        let slice = Slice { ports: ports(&[("", 80)]), ..slice("web", &["10.0.0.1"]) };
        assert_eq!(translated("", &[slice]), ["10.0.0.1:80"]);
    }

    #[test]
    fn u1_an_address_in_two_slices_is_one_endpoint_that_stays_if_any_says_so() {
        let mut going = slice("web", &["10.0.0.1", "10.0.0.2"]);
        going.endpoints.iter_mut().for_each(|e| e.terminating = true);
        let staying = slice("web", &["10.0.0.1"]);
        let expected = ["10.0.0.1:80", "10.0.0.2:80 terminating"];
        assert_eq!(translated("http", &[going.clone(), staying.clone()]), expected);
        assert_eq!(translated("http", &[staying, going]), expected);
    }

    #[test]
    fn zones_and_hints_are_labels() {
        let mut here = slice("web", &["10.0.0.1"]);
        here.endpoints =
            [SliceEndpoint { zone: Some("a".into()), zone_hints: Some("a,b".into()), ..endpoint("10.0.0.1") }].into();
        assert_eq!(translated("http", &[here]), ["10.0.0.1:80 zone=a zone-hints=a,b"]);
    }

    #[test]
    fn more_endpoints_than_a_message_holds_are_refused() {
        let ips: Vec<String> = (0..10_001).map(|i| format!("10.0.{}.{}", i / 250, i % 250 + 1)).collect();
        let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
        assert!(endpoints(&key("Endpoints", "x"), "http", [slice("web", &ips)].iter()).is_err());
    }
}
