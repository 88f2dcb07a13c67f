//! Backends that name Services.

mod plugins;

use weir_proto::pb;

use super::*;
use crate::services::{Listed, Service, ServiceEvent, Slice};
use crate::source::Given;
use crate::testing::{backend, key, name, pool, service, slice};

const X: &str = "{pool: a, service: {name: web, port: http}}";

/// A cluster with a Pool, a Service with one endpoint, and what came of each change.
struct World(Desired);

impl World {
    fn new() -> Self {
        let mut world = Self(Desired::in_cluster());
        let nothing = |kind| Event::Reset(kind, Vec::new());
        world.0.apply(Kind::GIVEN.map(nothing).into());
        assert!(world.0.apply(services(&[("web", service(&[("http", 80), ("admin", 9000)]))])).is_none());
        world.apply(slices(&[("s1", slice("web", &["10.0.0.1"]))]));
        world.give(pool("a", "{}"));
        world
    }

    fn with_backend() -> Self {
        let mut world = Self::new();
        world.give(backend("x", X));
        world
    }

    fn apply(&mut self, changes: Changes) -> Outcome {
        self.0.apply(changes).unwrap()
    }

    fn give(&mut self, given: Given) -> Outcome {
        self.apply(vec![Event::Apply(given)])
    }

    fn service(&mut self, name: &str, service: Option<Service>) -> Outcome {
        self.apply(vec![Event::Service(ServiceEvent::Service(self::name(name), service))])
    }

    fn slice(&mut self, name: &str, slice: Option<Slice>) -> Outcome {
        self.apply(vec![Event::Service(ServiceEvent::Slice(self::name(name), slice))])
    }
}

fn services(all: &[(&str, Service)]) -> Changes {
    let all = all.iter().map(|(n, service)| (name(n), Some(service.clone()))).collect();
    vec![Event::Service(ServiceEvent::Services(Listed { within: None, all }))]
}

fn slices(all: &[(&str, Slice)]) -> Changes {
    let all = all.iter().map(|(n, slice)| (name(n), Some(slice.clone()))).collect();
    vec![Event::Service(ServiceEvent::Slices(Listed { within: None, all }))]
}

/// Kind and name of each resource to send, with the addresses of endpoints; and of each to remove.
fn sent(outcome: &Outcome) -> Vec<String> {
    let address = |e: &pb::ServiceEndpoint| e.address.clone();
    let upsert = |(key, body): &(Key, Body)| match body {
        Body::Endpoints(e) => format!("{key} {}", e.endpoints.iter().map(address).collect::<Vec<_>>().join(" ")),
        _ => key.to_string(),
    };
    let removed = outcome.patch.removed.iter().map(|key| format!("-{key}"));
    outcome.patch.upserts.iter().map(upsert).chain(removed).collect()
}

/// What is said of the Backend `x`.
fn said(outcome: &Outcome) -> (&'static str, String, bool) {
    let verdict = outcome.verdicts.iter().find(|(of, _)| *of == key("Backend", "x")).unwrap().1.clone().unwrap();
    let (problem, finding) = verdict.reference.clone().unwrap();
    (problem.as_str(), format!("{}: {}", finding.field, finding.message), verdict.in_force.is_some())
}

#[test]
fn a_backend_is_judged_again_when_its_pool_turns_to_another_protocol() {
    let mut world = World::new();
    world.give(pool("db", "{protocol: TCP}"));
    let told = |outcome: &Outcome| {
        let verdict = outcome.verdicts.iter().find(|(of, _)| *of == key("Backend", "x")).map(|(_, verdict)| verdict);
        let finding = verdict?.as_ref()?.invalid.first()?;
        Some(format!("{}: {}", finding.field, finding.message))
    };
    let outcome = world.give(backend("x", "{pool: db, address: '10.0.0.1:1', proxyProtocol: V1}"));
    assert_eq!(told(&outcome), None);
    let outcome = world.give(pool("db", "{}"));
    assert_eq!(told(&outcome).as_deref(), Some("spec.proxyProtocol: goes with a Pool of protocol TCP only"));
    let outcome = world.give(pool("db", "{protocol: TCP}"));
    assert!(sent(&outcome).contains(&"Backend default/x".to_owned()) && told(&outcome).is_none());
}

#[test]
fn u1_a_backend_with_a_service_has_the_endpoints_of_its_slices() {
    let mut world = World::new();
    let outcome = world.give(backend("x", X));
    assert_eq!(sent(&outcome), ["Backend default/x", "Endpoints default/x 10.0.0.1:80"]);
    let Body::Backend(message) = &outcome.patch.upserts[0].1 else { panic!() };
    assert!(message.from_service && message.address.is_empty());
    let verdict = outcome.verdicts[0].1.as_ref().unwrap();
    assert_eq!((verdict.is_good(), verdict.address.as_deref()), (true, Some("service/web:http")));
}

#[test]
fn u1_a_change_of_endpoints_translates_no_pool_and_no_backend() {
    let mut world = World::with_backend();
    world.give(backend("y", "{pool: a, address: 'h:1'}"));
    let outcome = world.slice("s2", Some(slice("web", &["10.0.0.2"])));
    assert_eq!(sent(&outcome), ["Endpoints default/x 10.0.0.1:80 10.0.0.2:80"]);
    assert_eq!(outcome.verdicts, []);
    assert_eq!(sent(&world.slice("s2", Some(slice("web", &["10.0.0.2"])))), [""; 0], "nothing is new");
    assert_eq!(sent(&world.slice("s1", None)), ["Endpoints default/x 10.0.0.2:80"]);
}

#[test]
fn services_that_no_backend_names_cost_nothing() {
    let mut world = World::with_backend();
    assert_eq!(sent(&world.slice("other", Some(slice("api", &["10.0.0.9"])))), [""; 0]);
    let outcome = world.service("api", Some(service(&[("http", 80)])));
    assert!(sent(&outcome).is_empty() && outcome.verdicts.is_empty());
}

#[test]
fn rule_1_nothing_is_settled_before_services_and_slices_are_complete() {
    let mut desired = Desired::in_cluster();
    assert!(desired.apply(vec![Event::Reset(Kind::Pool, vec![pool("a", "{}")])]).is_none());
    assert!(desired.apply(vec![Event::Reset(Kind::Backend, vec![backend("x", X)])]).is_none());
    assert!(desired.apply(vec![Event::Reset(Kind::Plugin, vec![])]).is_none());
    assert_eq!(desired.missing(), ["Service", "EndpointSlice"]);
    assert!(desired.apply(slices(&[])).is_none());
    let outcome = desired.apply(services(&[("web", service(&[("http", 80)]))])).unwrap();
    assert_eq!(sent(&outcome), ["Pool default/a", "Backend default/x", "Endpoints default/x "]);
}

#[test]
fn s1_what_a_service_lacks_is_said_with_the_field() {
    let mut world = World::new();
    let refused = |world: &mut World, spec: &str| said(&world.give(backend("x", spec)));
    let (problem, text, in_force) = refused(&mut world, "{pool: a, service: {name: wep, port: http}}");
    assert_eq!((problem, in_force), ("ServiceNotFound", false));
    assert_eq!(text, "spec.service.name: there is no Service default/wep");
    let (problem, text, _) = refused(&mut world, "{pool: a, service: {name: web, port: htpp}}");
    let known = "of TCP, it has http (80), admin (9000)";
    assert_eq!(problem, "PortNotFound");
    assert_eq!(text, format!("spec.service.port: Service default/web has no port \"htpp\" {known}"));
    let (_, text, _) = refused(&mut world, "{pool: a, service: {name: web, port: 8080}}");
    assert_eq!(text, format!("spec.service.port: Service default/web has no port 8080 {known}"));
    let external = Service { external_name: Some("web.example.com".into()), ports: [].into() };
    world.service("ext", Some(external));
    let (problem, text, _) = refused(&mut world, "{pool: a, service: {name: ext, port: 80}}");
    assert_eq!(problem, "ServiceIsExternal");
    assert!(text.starts_with("spec.service.name: ") && text.ends_with("spec.address: web.example.com:PORT"), "{text}");
    assert_eq!(sent(&world.give(backend("x", "{pool: a, service: {name: web, port: 9000}}"))).len(), 2);
}

#[test]
fn s1_a_backend_mends_when_its_service_comes() {
    let mut world = World::new();
    world.give(backend("x", "{pool: a, service: {name: api, port: 80}}"));
    world.slice("s2", Some(slice("api", &["10.0.0.2"])));
    let outcome = world.service("api", Some(service(&[("http", 80)])));
    assert_eq!(sent(&outcome), ["Backend default/x", "Endpoints default/x 10.0.0.2:80"]);
}

#[test]
fn s1_a_backend_that_turns_to_no_service_keeps_its_endpoints_which_go_on_changing() {
    let mut world = World::with_backend();
    let (problem, _, in_force) = said(&world.give(backend("x", "{pool: a, service: {name: wep, port: http}}")));
    assert_eq!((problem, in_force), ("ServiceNotFound", true));
    let outcome = world.slice("s2", Some(slice("web", &["10.0.0.2"])));
    assert_eq!(sent(&outcome), ["Endpoints default/x 10.0.0.1:80 10.0.0.2:80"]);
}

#[test]
fn a_service_that_is_deleted_is_said_and_its_endpoints_go_with_its_slices() {
    let mut world = World::with_backend();
    let outcome = world.service("web", None);
    assert_eq!((said(&outcome).0, sent(&outcome)), ("ServiceNotFound", Vec::new()));
    assert_eq!(sent(&world.slice("s1", None)), ["Endpoints default/x "]);
}

#[test]
fn a_service_without_endpoints_is_no_problem() {
    let mut world = World::with_backend();
    world.slice("s1", None);
    assert!(world.give(backend("x", X)).verdicts.is_empty(), "nothing is new");
}

#[test]
fn s6_endpoints_go_with_their_backend_or_its_service() {
    let mut world = World::with_backend();
    let outcome = world.give(backend("x", "{pool: a, address: 'h:1'}"));
    assert_eq!(sent(&outcome), ["Backend default/x", "-Endpoints default/x"]);
    world.give(backend("x", X));
    let outcome = world.apply(vec![Event::Delete(key("Backend", "x"))]);
    assert_eq!(sent(&outcome), ["-Backend default/x", "-Endpoints default/x"]);
    assert_eq!(sent(&world.slice("s1", None)), [""; 0]);
    world.give(backend("x", X));
    let outcome = world.apply(vec![Event::Delete(key("Pool", "a"))]);
    assert_eq!(sent(&outcome), ["-Pool default/a", "-Backend default/x", "-Endpoints default/x"]);
}

#[test]
fn without_a_cluster_a_service_is_refused_and_says_what_to_write() {
    let mut desired = Desired::default();
    desired.apply(Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).into());
    let outcome = desired.apply(vec![Event::Apply(pool("a", "{}")), Event::Apply(backend("x", X))]).unwrap();
    let (problem, text, in_force) = said(&outcome);
    assert_eq!((problem, in_force), ("NoCluster", false));
    assert_eq!(text, "spec.service: there is no cluster to find Service default/web in: write spec.address");
}
