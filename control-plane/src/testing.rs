//! Short ways to make resources, for unit tests.

use std::path::Path;

use weir_proto::model::{Key, Kind};

use crate::api::PoolSpec;
use crate::manifest::{self, Manifest};
use crate::source::{Given, Object, Spec};

/// A Pool `default/NAME` with this spec, in YAML flow style.
pub(crate) fn pool(name: &str, spec: &str) -> Given {
    given("Pool", name, spec)
}

/// The specification of a Pool.
pub(crate) fn pool_spec(spec: &str) -> PoolSpec {
    match pool("any", spec) {
        Given::Object(Object { spec: Spec::Pool(spec), .. }) => *spec,
        other => panic!("{other:?}"),
    }
}

/// A Backend `default/NAME` with this spec.
pub(crate) fn backend(name: &str, spec: &str) -> Given {
    given("Backend", name, spec)
}

/// The key of a resource `default/NAME`.
pub(crate) fn key(kind: &str, name: &str) -> Key {
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind).unwrap();
    Key { kind, name: format!("default/{name}").parse().unwrap() }
}

fn given(kind: &str, name: &str, spec: &str) -> Given {
    let text = format!("apiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    match manifest::read(&Path::new("test.yaml").into(), &text).remove(0) {
        Manifest::Good(object) => Given::Object(object),
        Manifest::Broken { key, findings } => Given::Broken(key, findings),
        Manifest::Unknown { findings, .. } => panic!("{findings:?}"),
    }
}
