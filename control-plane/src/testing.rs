//! Short ways to make resources, for unit tests.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::Instant;
use weir_proto::model::{Key, Kind, ResourceName};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use crate::api::{BackendSpec, PoolSpec};
use crate::manifest::{self, Manifest};
use crate::services::{Port, Service, Slice, SliceEndpoint};
use crate::snapshot::{Patch, Snapshot};
use crate::source::{Given, Object, Spec};

/// A Pool `default/NAME` with this spec, in YAML flow style.
pub(crate) fn pool(name: &str, spec: &str) -> Given {
    given("Pool", name, spec)
}

/// The specification of a Pool.
pub(crate) fn pool_spec(spec: &str) -> PoolSpec {
    match pool("any", spec) {
        Given::Object(Object { spec: Spec::Pool(spec), .. }) => Arc::unwrap_or_clone(spec),
        other => panic!("{other:?}"),
    }
}

/// What a Backend with this spec is.
pub(crate) fn backend_spec(spec: &str) -> BackendSpec {
    match backend("any", spec) {
        Given::Object(Object { spec: Spec::Backend(spec), .. }) => Arc::unwrap_or_clone(spec),
        other => panic!("{other:?}"),
    }
}

/// A Backend `default/NAME` with this spec.
pub(crate) fn backend(name: &str, spec: &str) -> Given {
    given("Backend", name, spec)
}

/// A Plugin `default/NAME` with this spec.
pub(crate) fn plugin(name: &str, spec: &str) -> Given {
    given("Plugin", name, spec)
}

/// The key of a resource `default/NAME`.
pub(crate) fn key(kind: &str, name: &str) -> Key {
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind).unwrap();
    Key { kind, name: format!("default/{name}").parse().unwrap() }
}

/// The name `default/NAME`.
pub(crate) fn name(name: &str) -> ResourceName {
    format!("default/{name}").parse().unwrap()
}

/// A Service with these ports, each a name and a number.
pub(crate) fn service(ports: &[(&str, u16)]) -> Service {
    let port = |(name, number): &(&str, u16)| Port { name: (*name).into(), number: *number };
    Service { external_name: None, ports: ports.iter().map(port).collect() }
}

/// A slice of the Service `default/NAME`, whose endpoints listen on port 80, named http.
pub(crate) fn slice(service: &str, ips: &[&str]) -> Slice {
    let ports = [Port { name: "http".into(), number: 80 }].into();
    Slice { service: service.into(), ports, endpoints: ips.iter().map(|ip| endpoint(ip)).collect() }
}

/// An endpoint of which nothing but its address is known.
pub(crate) fn endpoint(ip: &str) -> SliceEndpoint {
    SliceEndpoint { ip: ip.parse().unwrap(), terminating: false, zone: None, zone_hints: None }
}

fn given(kind: &str, name: &str, spec: &str) -> Given {
    let text = format!("apiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    match manifest::read(&Path::new("test.yaml").into(), &text).remove(0) {
        Manifest::Good(object) => Given::Object(object),
        Manifest::Broken { key, findings, origin } => {
            Given::Broken { key, generation: None, findings, origin: Some(origin) }
        }
        Manifest::Content { findings, .. } | Manifest::Unknown { findings, .. } => panic!("{findings:?}"),
    }
}

/// A resource that differs from others of its key by a number.
pub(crate) fn weighed(key: &Key, weight: u32) -> (Key, Body) {
    let body = match key.kind {
        Kind::Pool => Body::Pool(pb::Pool { weight, ..Default::default() }),
        Kind::Backend => Body::Backend(pb::Backend { weight, ..Default::default() }),
        Kind::Plugin => Body::Plugin(pb::Plugin { timeout_ms: weight.into(), ..Default::default() }),
        Kind::Endpoints => {
            let endpoint = pb::ServiceEndpoint { address: format!("10.0.0.1:{weight}"), ..Default::default() };
            Body::Endpoints(pb::Endpoints { endpoints: vec![endpoint] })
        }
    };
    (key.clone(), body)
}

/// A snapshot of these resources.
pub(crate) fn snapshot(content: &[(Key, u32)]) -> Arc<Snapshot> {
    let upserts = content.iter().map(|(key, weight)| weighed(key, *weight)).collect();
    let empty = Snapshot::empty(Instant::now());
    Arc::new(empty.next(Patch { upserts, ..Patch::default() }, Instant::now()).unwrap_or(empty))
}

/// A few resources of two namespaces.
pub(crate) fn content() -> impl Strategy<Value = Vec<(Key, u32)>> {
    let name = (prop::bool::ANY, 0..8_u8).prop_map(|(own, i)| format!("{}/r{i}", if own { "own" } else { "other" }));
    let key = (prop::sample::select(Kind::ALL.to_vec()), name)
        .prop_map(|(kind, name)| Key { kind, name: name.parse().unwrap() });
    prop::collection::btree_map(key, 0..3_u32, 0..20).prop_map(|map| map.into_iter().collect())
}
